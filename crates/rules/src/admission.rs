//! Admission under load: the table of open connections and their limits.
//!
//! A connection is unauthenticated until a device proves its key on it. Unauthenticated connections
//! share a part of the total, with a limit per address; when it is exhausted, the address with the
//! most of them loses its oldest.

use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, Ipv4Addr};

use super::rate::{KeyedLimiter, RateLimit};

/// Addresses whose connection attempts are tracked.
const ADDRESSES_MAX: usize = 65_536;

/// Retry delay when the relay is at capacity, in milliseconds.
const BUSY_RETRY_MS: u64 = 5_000;

/// Retry delay for an address at its connection limit, in milliseconds.
const ADDRESS_RETRY_MS: u64 = 30_000;

/// A client network: an IPv4 address, or the /64 prefix that a provider assigns to one customer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Address {
    /// IPv4, including IPv4-mapped IPv6.
    V4(Ipv4Addr),
    /// The upper 64 bits of IPv6.
    V6(u64),
}

impl From<IpAddr> for Address {
    fn from(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(address) => Self::V4(address),
            IpAddr::V6(address) => {
                let bits = address.to_bits() >> 64;
                Self::V6(u64::try_from(bits).expect("64 of 128 bits are left"))
            }
        }
    }
}

/// Connection limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConnectionLimits {
    /// Concurrent unauthenticated connections.
    pub unauthenticated_max: usize,
    /// Concurrent unauthenticated connections per address.
    pub address_unauthenticated_max: usize,
    /// Concurrent connections per address.
    pub address_connections_max: usize,
    /// New connections per address.
    pub address_attempts: RateLimit,
}

/// Identifier of a connection. Never reused.
pub type ConnectionId = u64;

/// A rejected connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rejected {
    /// Human-readable reason.
    pub reason: &'static str,
    /// Whether a limit of the address was exceeded, not one of the whole relay.
    pub per_address_limit: bool,
    /// Retry delay in milliseconds.
    pub retry_after_ms: u64,
}

#[derive(Debug, Default)]
struct PerAddress {
    connections: usize,
    /// Oldest first.
    unauthenticated: VecDeque<ConnectionId>,
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    /// Unknown until a proxy forwards it.
    address: Option<Address>,
    authenticated: bool,
}

/// All open connections.
#[derive(Debug)]
pub struct ConnectionTable {
    limits: ConnectionLimits,
    entries: BTreeMap<ConnectionId, Entry>,
    addresses: BTreeMap<Address, PerAddress>,
    unauthenticated: usize,
    attempts: KeyedLimiter<Address>,
    next: ConnectionId,
}

impl ConnectionTable {
    /// Creates an empty table.
    pub fn new(limits: ConnectionLimits) -> Self {
        Self {
            limits,
            entries: BTreeMap::new(),
            addresses: BTreeMap::new(),
            unauthenticated: 0,
            attempts: KeyedLimiter::new(limits.address_attempts, ADDRESSES_MAX),
            next: 0,
        }
    }

    /// Adds a connection. The second id, if any, is the connection to evict for it.
    ///
    /// # Errors
    /// [`Rejected`]
    pub fn insert(
        &mut self,
        address: Option<Address>,
        now_ms: u64,
    ) -> Result<(ConnectionId, Option<ConnectionId>), Rejected> {
        if let Some(address) = address {
            self.check(address, now_ms)?;
        }
        let cut = if self.unauthenticated < self.limits.unauthenticated_max {
            None
        } else {
            Some(self.choose_eviction(address)?)
        };
        let number = self.next;
        self.next += 1;
        self.entries.insert(
            number,
            Entry {
                address: None,
                authenticated: false,
            },
        );
        self.unauthenticated += 1;
        if let Some(address) = address {
            self.place(number, address);
        }
        Ok((number, cut))
    }

    /// Sets the address of a connection once its proxy forwards it.
    ///
    /// # Errors
    /// [`Rejected`]; the caller still has to remove the connection.
    pub fn set_address(
        &mut self,
        number: ConnectionId,
        address: Address,
        now_ms: u64,
    ) -> Result<(), Rejected> {
        if self
            .entries
            .get(&number)
            .is_none_or(|entry| entry.address.is_some())
        {
            return Ok(());
        }
        self.check(address, now_ms)?;
        self.place(number, address);
        Ok(())
    }

    /// Marks the connection as authenticated.
    pub fn mark_authenticated(&mut self, number: ConnectionId) {
        let Some(entry) = self
            .entries
            .get_mut(&number)
            .filter(|entry| !entry.authenticated)
        else {
            return;
        };
        entry.authenticated = true;
        self.unauthenticated -= 1;
        if let Some(per_address) = entry
            .address
            .and_then(|address| self.addresses.get_mut(&address))
        {
            per_address
                .unauthenticated
                .retain(|connection| *connection != number);
        }
    }

    /// Removes a closed connection.
    pub fn remove(&mut self, number: ConnectionId) {
        self.mark_authenticated(number);
        let Some(address) = self.entries.remove(&number).and_then(|entry| entry.address) else {
            return;
        };
        if let Some(per_address) = self.addresses.get_mut(&address) {
            per_address.connections -= 1;
            if per_address.connections == 0 {
                self.addresses.remove(&address);
            }
        }
    }

    /// Returns the number of unauthenticated connections.
    pub fn unauthenticated(&self) -> usize {
        self.unauthenticated
    }

    /// Returns the number of connections.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Returns whether the table is empty.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    fn check(&mut self, address: Address, now_ms: u64) -> Result<(), Rejected> {
        let rejected = |reason, retry_after_ms| {
            Err(Rejected {
                reason,
                per_address_limit: true,
                retry_after_ms,
            })
        };
        if let Err(wait_ms) = self.attempts.take(address, 1, now_ms) {
            return rejected("too many new connections from this address", wait_ms);
        }
        let Some(per_address) = self.addresses.get(&address) else {
            return Ok(());
        };
        if per_address.connections >= self.limits.address_connections_max {
            return rejected("too many connections from this address", ADDRESS_RETRY_MS);
        }
        if per_address.unauthenticated.len() >= self.limits.address_unauthenticated_max {
            let reason = "too many unauthenticated connections from this address";
            return rejected(reason, BUSY_RETRY_MS);
        }
        Ok(())
    }

    fn place(&mut self, number: ConnectionId, address: Address) {
        let Some(entry) = self.entries.get_mut(&number) else {
            return;
        };
        entry.address = Some(address);
        let per_address = self.addresses.entry(address).or_default();
        per_address.connections += 1;
        if !entry.authenticated {
            per_address.unauthenticated.push_back(number);
        }
    }

    /// Returns the oldest unauthenticated connection of the address that has the most.
    ///
    /// That address must have at least two more than the new one: no connection is evicted for an
    /// equal.
    fn choose_eviction(&self, coming: Option<Address>) -> Result<ConnectionId, Rejected> {
        let count = |per_address: &PerAddress| per_address.unauthenticated.len();
        let own = coming
            .and_then(|address| self.addresses.get(&address))
            .map_or(0, count);
        let greediest = self
            .addresses
            .values()
            .max_by_key(|per_address| count(per_address));
        let oldest = greediest.filter(|per_address| count(per_address) >= own + 2);
        oldest
            .and_then(|per_address| per_address.unauthenticated.front().copied())
            .ok_or(Rejected {
                reason: "too many unauthenticated connections",
                per_address_limit: false,
                retry_after_ms: BUSY_RETRY_MS,
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const LIMITS: ConnectionLimits = ConnectionLimits {
        unauthenticated_max: 8,
        address_unauthenticated_max: 5,
        address_connections_max: 10,
        address_attempts: RateLimit::per_minute(1_000),
    };

    fn address(number: u8) -> Option<Address> {
        Some(Address::V4(Ipv4Addr::new(192, 0, 2, number)))
    }

    fn enter(table: &mut ConnectionTable, from: Option<Address>) -> ConnectionId {
        let (number, cut) = table.insert(from, 0).expect("admitted");
        assert_eq!(cut, None);
        number
    }

    #[test]
    fn address_groups_ipv6_by_prefix() {
        let of = |text: &str| Address::from(text.parse::<IpAddr>().expect("an address"));
        assert_eq!(of("2001:db8:1:2::1"), of("2001:db8:1:2:ffff::9"));
        assert_ne!(of("2001:db8:1:2::1"), of("2001:db8:1:3::1"));
        assert_eq!(of("::ffff:192.0.2.1"), of("192.0.2.1"));
        assert_ne!(of("192.0.2.2"), of("192.0.2.1"));
    }

    #[test]
    fn address_limits_unauthenticated_and_all_connections() {
        let mut table = ConnectionTable::new(LIMITS);
        let first: Vec<_> = (0..5).map(|_| enter(&mut table, address(1))).collect();
        let rejected = table
            .insert(address(1), 0)
            .expect_err("five unauthenticated");
        assert!(rejected.per_address_limit && rejected.retry_after_ms > 0);
        enter(&mut table, address(2));
        // An authenticated connection frees a place.
        first
            .iter()
            .for_each(|number| table.mark_authenticated(*number));
        let more: Vec<_> = (0..5).map(|_| enter(&mut table, address(1))).collect();
        more.iter()
            .for_each(|number| table.mark_authenticated(*number));
        assert!(table.insert(address(1), 0).is_err(), "ten connections");
        table.remove(first[0]);
        enter(&mut table, address(1));
    }

    #[test]
    fn connection_attempts_count_after_disconnect() {
        let mut table = ConnectionTable::new(ConnectionLimits {
            address_attempts: RateLimit::per_minute(3),
            ..LIMITS
        });
        for _ in 0..3 {
            let number = enter(&mut table, address(1));
            table.remove(number);
        }
        assert_eq!(
            table
                .insert(address(1), 0)
                .expect_err("the fourth")
                .retry_after_ms,
            20_000
        );
        enter(&mut table, address(2));
        table.insert(address(1), 20_000).expect("20 s later");
    }

    #[test]
    fn address_with_most_connections_loses_its_oldest() {
        let mut table = ConnectionTable::new(LIMITS);
        let per_address_limit: Vec<_> = (0..5).map(|_| enter(&mut table, address(1))).collect();
        let others: Vec<_> = (2..5)
            .map(|number| enter(&mut table, address(number)))
            .collect();
        let (_, cut) = table
            .insert(address(9), 0)
            .expect("a connection is evicted");
        assert_eq!(
            cut,
            Some(per_address_limit[0]),
            "the oldest connection of the address with the most"
        );
        table.remove(per_address_limit[0]);
        // The address with the most connections cannot displace others.
        assert!(
            !table
                .insert(address(1), 0)
                .expect_err("full")
                .per_address_limit
        );
        // No connection is evicted for an equal.
        let all_equal = ConnectionLimits {
            unauthenticated_max: 2,
            ..LIMITS
        };
        let mut table = ConnectionTable::new(all_equal);
        enter(&mut table, address(1));
        enter(&mut table, address(2));
        assert!(table.insert(address(3), 0).is_err());
        drop(others);
    }

    #[test]
    fn authenticated_connection_is_never_evicted() {
        let mut table = ConnectionTable::new(LIMITS);
        for number in 0..100 {
            let id = enter(&mut table, address(number));
            table.mark_authenticated(id);
            table.mark_authenticated(id);
        }
        assert_eq!((table.unauthenticated(), table.len()), (0, 100));
    }

    #[test]
    fn proxied_connection_is_checked_once_address_is_known() {
        let mut table = ConnectionTable::new(LIMITS);
        let through: Vec<_> = (0..6).map(|_| enter(&mut table, None)).collect();
        let told = Address::V4(Ipv4Addr::new(192, 0, 2, 1));
        for number in &through[..5] {
            table.set_address(*number, told, 0).expect("its share");
        }
        assert!(
            table
                .set_address(through[5], told, 0)
                .expect_err("one too many")
                .per_address_limit
        );
        table.remove(through[5]);
        assert_eq!(table.unauthenticated(), 5);
        table
            .set_address(through[0], Address::V6(7), 0)
            .expect("told once, it stays");
        assert!(table.insert(address(1), 0).is_err());
    }

    proptest! {
        /// After any sequence of operations the counts match the open connections and respect the
        /// limits.
        #[test]
        fn connection_counts_match_any_history(steps in proptest::collection::vec((0_u8..4, 0_u8..6, 0_usize..20), 1..300)) {
            let mut table = ConnectionTable::new(LIMITS);
            let mut there: Vec<(ConnectionId, bool)> = Vec::new();
            for (step, from, which) in steps {
                match step {
                    0 | 1 => {
                        let from = address(from).filter(|_| from > 0);
                        if let Ok((number, cut)) = table.insert(from, 0) {
                            if let Some(cut) = cut {
                                let at = there.iter().position(|(number, _)| *number == cut);
                                let (_, authenticated) = there.remove(at.expect("it was there"));
                                prop_assert!(!authenticated, "an authenticated connection was evicted");
                                table.remove(cut);
                            }
                            there.push((number, false));
                        }
                    }
                    2 if which < there.len() => {
                        there[which].1 = true;
                        table.mark_authenticated(there[which].0);
                    }
                    _ if which < there.len() => table.remove(there.swap_remove(which).0),
                    _ => {}
                }
                let unauthenticated = there.iter().filter(|(_, authenticated)| !authenticated).count();
                prop_assert_eq!((table.unauthenticated(), table.len()), (unauthenticated, there.len()));
                prop_assert!(unauthenticated <= LIMITS.unauthenticated_max);
                for per_address in table.addresses.values() {
                    prop_assert!(per_address.unauthenticated.len() <= LIMITS.address_unauthenticated_max);
                    prop_assert!((1..=LIMITS.address_connections_max).contains(&per_address.connections));
                }
            }
            for (number, _) in there {
                table.remove(number);
            }
            prop_assert!(table.is_empty() && table.addresses.is_empty());
        }
    }
}
