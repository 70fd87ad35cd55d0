//! Reading: where a device stands, and what of its account it has not been shown.

use bytes::Bytes;

use graceful_protocol::wire::Delivered;
use graceful_protocol::{AccountId, DeviceKey};
use graceful_rules::change::{Look, Ready, Standing, View, Whose};
use graceful_rules::expiry::is_expired;
use graceful_rules::{Account, Addressee, RelayTime};

use super::day_keys::Keyring;
use super::row::{LogHead, Place};
use super::tables::{
    ACCOUNTS, INDEX, Index, LOG, Log, MEMBERS, MEMBERSHIP, META, Meta, Tables, meta, pair, second,
};
use super::{Store, StoreError, account, envelope, members, membership};

/// Envelopes in one view at most.
const LOOK_ENVELOPES_MAX: usize = 1_000;

/// Rows of the index that one look passes at most, whomever they are for.
const LOOK_ROWS_MAX: usize = 10_000;

/// Bytes of membership entries in one view at most, unless a single one is larger.
const LOOK_ENTRIES_BYTES: usize = 256 * 1024;

/// What the store holds altogether.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Totals {
    /// Accounts.
    pub accounts: u64,
    /// Envelopes of all of them.
    pub envelopes: u64,
    /// What these count against quotas, in bytes.
    pub bytes: u64,
}

impl Totals {
    pub(super) fn read(table: &Meta<'_>) -> Result<Self, StoreError> {
        const DAMAGED: StoreError = StoreError::Damaged("its totals cannot be read");
        let row = table.get(meta::TOTALS)?.ok_or(DAMAGED)?;
        let (numbers, rest) = row.value().as_chunks::<8>();
        match (numbers, rest) {
            ([accounts, envelopes, bytes], []) => Ok(Self {
                accounts: u64::from_be_bytes(*accounts),
                envelopes: u64::from_be_bytes(*envelopes),
                bytes: u64::from_be_bytes(*bytes),
            }),
            _ => Err(DAMAGED),
        }
    }

    pub(super) fn to_bytes(self) -> [u8; 24] {
        let mut bytes = [0; 24];
        for (place, number) in
            bytes
                .as_chunks_mut()
                .0
                .iter_mut()
                .zip([self.accounts, self.envelopes, self.bytes])
        {
            *place = number.to_be_bytes();
        }
        bytes
    }

    /// What one account adds to them.
    pub(super) fn of(account: &Account) -> Self {
        Self {
            accounts: 1,
            envelopes: account.envelopes_kept,
            bytes: account.bytes_kept,
        }
    }

    /// Takes out what an account had, and puts in what it has.
    pub(super) fn replace(&mut self, had: &Self, has: &Self) {
        self.accounts = self.accounts + has.accounts - had.accounts;
        self.envelopes = self.envelopes + has.envelopes - had.envelopes;
        self.bytes = self.bytes + has.bytes - had.bytes;
    }
}

/// What stands next in a device's way through the log.
enum Next {
    /// Nothing: all that fits is shown.
    Shown,
    /// An envelope whose time is over.
    Expired,
    /// One whose bytes the disk has lost.
    Altered(u64),
}

fn delivered(place: &Place, head: &LogHead, sealed: Bytes) -> Delivered {
    Delivered {
        seq: place.kept.seq,
        sender: head.sender_key.to_wire(),
        push_number: head.push_number,
        sealed,
        chain: head.chain.to_wire(),
        addressed: place.kept.addressee != Addressee::Everyone,
    }
}

/// What a look reads.
struct Rows<'a> {
    index: Index<'a>,
    log: Log<'a>,
    keys: &'a Keyring,
}

impl Store {
    /// Where a device stands, if it is a member. For anyone else this takes the same time whether
    /// there is such an account or not.
    ///
    /// # Errors
    /// [`StoreError`]
    pub fn find(&self, id: &AccountId, device: &DeviceKey) -> Result<Option<Standing>, StoreError> {
        let moment = self.moment()?;
        let Some(number) = members::number(&moment.table(MEMBERS), id, device)? else {
            return Ok(None);
        };
        let account = account::load(&moment.table(ACCOUNTS), number)?
            .ok_or(StoreError::Damaged("a member's account has no row"))?;
        Ok(account.device_by_key(device).map(|device| Standing {
            account: *id,
            whose: Whose {
                account: number,
                device: device.ordinal,
            },
            head: account.head,
            chain: account.chain,
            cursor: device.cursor,
            push_number: device.push_number,
            bytes_kept: account.bytes_kept,
            envelopes_kept: account.envelopes_kept,
            membership_count: account.membership_count,
        }))
    }

    /// What a device has not been shown yet, as of the last commit.
    ///
    /// # Errors
    /// [`StoreError`]
    pub fn look(&self, look: &Look, now: RelayTime) -> Result<View, StoreError> {
        let moment = self.moment()?;
        let Some(account) = account::load(&moment.table(ACCOUNTS), look.whose.account)? else {
            return Ok(View::Gone);
        };
        let Some(device) = account.device(look.whose.device) else {
            return Ok(View::NotAMember);
        };
        let mut ready = Ready {
            entries_from: look.entries_from,
            membership_count: account.membership_count,
            gap: device.gap,
            head: account.head,
            through: if look.bytes_max == 0 {
                look.after
            } else {
                account.head
            },
            ..Ready::default()
        };
        if look.entries_from < account.membership_count {
            let table = moment.table(MEMBERSHIP);
            let bytes_max = self.entries_bytes_max();
            ready.entries =
                membership::entries(&table, account.number, look.entries_from, bytes_max)?;
        }
        let told = look.entries_from + ready.entries.len() as u64;
        if told < account.membership_count {
            // An envelope may be sealed by a device, or in a key epoch, that only later entries name.
            ready.through = look.after;
        } else if look.after < account.head && look.bytes_max > 0 {
            let (index, log) = (moment.table(INDEX), moment.table(LOG));
            let rows = Rows {
                index,
                log,
                keys: &moment.keys,
            };
            match self.collect(&account, look, now, &rows, &mut ready)? {
                Next::Shown => {}
                Next::Expired => return Ok(View::SweepFirst),
                Next::Altered(seq) => return Ok(View::Altered { seq }),
            }
        }
        Ok(View::Ready(ready))
    }

    /// With room to spare in a frame, whose own bytes come on top.
    pub(super) fn entries_bytes_max(&self) -> usize {
        let frame_bytes_max =
            usize::try_from(self.options.limits.frame_bytes_max).unwrap_or(usize::MAX);
        LOOK_ENTRIES_BYTES.min(frame_bytes_max / 2)
    }

    /// Collects envelopes until the look is filled, or says why not even the first can be shown.
    fn collect(
        &self,
        account: &Account,
        look: &Look,
        now: RelayTime,
        rows: &Rows<'_>,
        ready: &mut Ready,
    ) -> Result<Next, StoreError> {
        let mut bytes = 0;
        let first = pair(account.number.0, look.after + 1);
        let last = pair(account.number.0, account.head);
        for (row, item) in rows.index.range(&first..=&last)?.enumerate() {
            let (key, value) = item?;
            let place = Place::from_bytes(second(key.value()), value.value());
            let before = place.kept.seq - 1;
            if row == LOOK_ROWS_MAX {
                ready.through = before;
                return Ok(Next::Shown);
            }
            if !place.kept.is_for(look.whose.device) {
                continue;
            }
            let full = ready.envelopes.len() == LOOK_ENVELOPES_MAX
                || bytes + u64::from(place.kept.size) > look.bytes_max;
            if full && !(ready.envelopes.is_empty() && look.one_at_least) {
                ready.through = before;
                return Ok(Next::Shown);
            }
            let in_the_way = match envelope::read(&rows.log, rows.keys, &place) {
                Ok((head, _)) if is_expired(head.arrived, now, &self.options.limits) => {
                    Next::Expired
                }
                Err(StoreError::Altered) => Next::Altered(place.kept.seq),
                Err(error) => return Err(error),
                Ok((head, sealed)) => {
                    bytes += u64::from(place.kept.size);
                    ready.envelopes.push(delivered(&place, &head, sealed));
                    continue;
                }
            };
            ready.through = before;
            // What comes before it is shown first.
            return Ok(if ready.envelopes.is_empty() {
                in_the_way
            } else {
                Next::Shown
            });
        }
        Ok(Next::Shown)
    }

    /// Whether the oldest envelope's time is over.
    ///
    /// # Errors
    /// [`StoreError`]
    pub fn has_expired(&self, now: RelayTime) -> Result<bool, StoreError> {
        let Some((_, row)) = self.moment()?.table(LOG).first()? else {
            return Ok(false);
        };
        let (head, _) = LogHead::read(row.value())?;
        Ok(is_expired(head.arrived, now, &self.options.limits))
    }

    /// Rows of all accounts, in every table: none remain when the last account is closed.
    ///
    /// # Errors
    /// [`StoreError`]
    pub fn account_rows(&self) -> Result<u64, StoreError> {
        let moment = self.moment()?;
        let tables = Tables::at(&moment);
        let rows = tables.account_numbers.iter()?.count()
            + tables.members.iter()?.count()
            + tables.accounts.iter()?.count()
            + tables.membership.iter()?.count()
            + tables.recovery.iter()?.count()
            + tables.index.iter()?.count()
            + tables.log.iter()?.count();
        Ok(rows as u64)
    }

    /// What there is. They are kept, not counted.
    ///
    /// # Errors
    /// [`StoreError`]
    pub fn totals(&self) -> Result<Totals, StoreError> {
        Totals::read(&self.moment()?.table(META))
    }
}
