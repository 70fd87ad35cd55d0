//! Who is let in when many come. A connection is a newcomer until a device has proved on it who it
//! is; newcomers may take a share of the room only, one address a part of it, and when the share is
//! taken up the greediest address makes room for others.

use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, Ipv4Addr};

use super::rate::{Allowance, Rates};

/// Addresses whose arrivals are remembered.
const ADDRESSES_MAX: usize = 65_536;

/// How long to stay away where only the crowd is in the way, in milliseconds.
const CROWD_RETRY_MS: u64 = 5_000;

/// How long to stay away for an address that has as many connections as it may have, in milliseconds.
const ADDRESS_RETRY_MS: u64 = 30_000;

/// Where somebody comes from, as far as it is told apart: an IPv4 address, or the 64 bits of an IPv6
/// address that a provider gives to one customer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Address {
    /// IPv4, also where it comes in the clothes of IPv6.
    V4(Ipv4Addr),
    /// The first half of IPv6.
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

/// How much room there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CrowdLimits {
    /// Newcomers at a time.
    pub newcomers_max: usize,
    /// Newcomers from one address at a time.
    pub address_newcomers_max: usize,
    /// Connections from one address at a time, newcomers or not.
    pub address_connections_max: usize,
    /// Connections begun from one address.
    pub address_arrivals: Allowance,
}

/// One connection. Never given twice.
pub type VisitorNumber = u64;

/// Why somebody is not let in, and when to come again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TurnedAway {
    /// For people.
    pub why: &'static str,
    /// Whether it is the address that asks for too much, or everybody together.
    pub greedy: bool,
    /// In milliseconds.
    pub retry_after_ms: u64,
}

#[derive(Debug, Default)]
struct FromOne {
    connections: usize,
    /// Oldest first.
    newcomers: VecDeque<VisitorNumber>,
}

#[derive(Debug, Clone, Copy)]
struct Visit {
    /// Unknown where a proxy has not said it.
    address: Option<Address>,
    known: bool,
}

/// Everybody who is connected.
#[derive(Debug)]
pub struct Crowd {
    limits: CrowdLimits,
    visits: BTreeMap<VisitorNumber, Visit>,
    addresses: BTreeMap<Address, FromOne>,
    newcomers: usize,
    arrivals: Rates<Address>,
    next: VisitorNumber,
}

impl Crowd {
    /// Nobody is there.
    pub fn new(limits: CrowdLimits) -> Self {
        Self {
            limits,
            visits: BTreeMap::new(),
            addresses: BTreeMap::new(),
            newcomers: 0,
            arrivals: Rates::new(limits.address_arrivals, ADDRESSES_MAX),
            next: 0,
        }
    }

    /// Somebody comes. Where room has to be made, the second is whose connection is to be cut.
    ///
    /// # Errors
    /// [`TurnedAway`]
    pub fn enter(
        &mut self,
        address: Option<Address>,
        now_ms: u64,
    ) -> Result<(VisitorNumber, Option<VisitorNumber>), TurnedAway> {
        if let Some(address) = address {
            self.check(address, now_ms)?;
        }
        let cut = if self.newcomers < self.limits.newcomers_max {
            None
        } else {
            Some(self.make_room(address)?)
        };
        let number = self.next;
        self.next += 1;
        self.visits.insert(
            number,
            Visit {
                address: None,
                known: false,
            },
        );
        self.newcomers += 1;
        if let Some(address) = address {
            self.place(number, address);
        }
        Ok((number, cut))
    }

    /// A visitor of whom nothing was known turns out to come from here.
    ///
    /// # Errors
    /// [`TurnedAway`]; the visitor is still to leave.
    pub fn settle(
        &mut self,
        number: VisitorNumber,
        address: Address,
        now_ms: u64,
    ) -> Result<(), TurnedAway> {
        if self
            .visits
            .get(&number)
            .is_none_or(|visit| visit.address.is_some())
        {
            return Ok(());
        }
        self.check(address, now_ms)?;
        self.place(number, address);
        Ok(())
    }

    /// A device has proved on this connection who it is.
    pub fn known(&mut self, number: VisitorNumber) {
        let Some(visit) = self.visits.get_mut(&number).filter(|visit| !visit.known) else {
            return;
        };
        visit.known = true;
        self.newcomers -= 1;
        if let Some(from_one) = visit
            .address
            .and_then(|address| self.addresses.get_mut(&address))
        {
            from_one.newcomers.retain(|newcomer| *newcomer != number);
        }
    }

    /// The connection has ended.
    pub fn leave(&mut self, number: VisitorNumber) {
        self.known(number);
        let Some(address) = self.visits.remove(&number).and_then(|visit| visit.address) else {
            return;
        };
        if let Some(from_one) = self.addresses.get_mut(&address) {
            from_one.connections -= 1;
            if from_one.connections == 0 {
                self.addresses.remove(&address);
            }
        }
    }

    /// Connections on which nobody has proved who they are.
    pub fn newcomers(&self) -> usize {
        self.newcomers
    }

    /// All connections.
    pub fn len(&self) -> usize {
        self.visits.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.visits.is_empty()
    }

    fn check(&mut self, address: Address, now_ms: u64) -> Result<(), TurnedAway> {
        let away = |why, retry_after_ms| {
            Err(TurnedAway {
                why,
                greedy: true,
                retry_after_ms,
            })
        };
        if let Err(wait_ms) = self.arrivals.take(address, 1, now_ms) {
            return away(
                "Too many connections were begun from this address.",
                wait_ms,
            );
        }
        let Some(from_one) = self.addresses.get(&address) else {
            return Ok(());
        };
        if from_one.connections >= self.limits.address_connections_max {
            return away(
                "There are as many connections from this address as it may have.",
                ADDRESS_RETRY_MS,
            );
        }
        if from_one.newcomers.len() >= self.limits.address_newcomers_max {
            let why = "Too many connections from this address have not yet said who they are.";
            return away(why, CROWD_RETRY_MS);
        }
        Ok(())
    }

    fn place(&mut self, number: VisitorNumber, address: Address) {
        let Some(visit) = self.visits.get_mut(&number) else {
            return;
        };
        visit.address = Some(address);
        let from_one = self.addresses.entry(address).or_default();
        from_one.connections += 1;
        if !visit.known {
            from_one.newcomers.push_back(number);
        }
    }

    /// The oldest newcomer of the address that has most of them, if that has at least two more
    /// than the one that comes: so nobody is cut for an equal.
    fn make_room(&self, coming: Option<Address>) -> Result<VisitorNumber, TurnedAway> {
        let count = |from_one: &FromOne| from_one.newcomers.len();
        let own = coming
            .and_then(|address| self.addresses.get(&address))
            .map_or(0, count);
        let greediest = self
            .addresses
            .values()
            .max_by_key(|from_one| count(from_one));
        let oldest = greediest.filter(|from_one| count(from_one) >= own + 2);
        oldest
            .and_then(|from_one| from_one.newcomers.front().copied())
            .ok_or(TurnedAway {
                why: "This relay is busy with newcomers.",
                greedy: false,
                retry_after_ms: CROWD_RETRY_MS,
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const LIMITS: CrowdLimits = CrowdLimits {
        newcomers_max: 8,
        address_newcomers_max: 5,
        address_connections_max: 10,
        address_arrivals: Allowance::per_minute(1_000),
    };

    fn address(number: u8) -> Option<Address> {
        Some(Address::V4(Ipv4Addr::new(192, 0, 2, number)))
    }

    fn enter(crowd: &mut Crowd, from: Option<Address>) -> VisitorNumber {
        let (number, cut) = crowd.enter(from, 0).expect("there is room");
        assert_eq!(cut, None);
        number
    }

    #[test]
    fn one_customer_is_one_address() {
        let of = |text: &str| Address::from(text.parse::<IpAddr>().expect("an address"));
        assert_eq!(of("2001:db8:1:2::1"), of("2001:db8:1:2:ffff::9"));
        assert_ne!(of("2001:db8:1:2::1"), of("2001:db8:1:3::1"));
        assert_eq!(of("::ffff:192.0.2.1"), of("192.0.2.1"));
        assert_ne!(of("192.0.2.2"), of("192.0.2.1"));
    }

    #[test]
    fn an_address_has_its_share_of_newcomers_and_of_connections() {
        let mut crowd = Crowd::new(LIMITS);
        let first: Vec<_> = (0..5).map(|_| enter(&mut crowd, address(1))).collect();
        let away = crowd.enter(address(1), 0).expect_err("five newcomers");
        assert!(away.greedy && away.retry_after_ms > 0);
        enter(&mut crowd, address(2));
        // Whoever proves who it is makes room for the next newcomer.
        first.iter().for_each(|number| crowd.known(*number));
        let more: Vec<_> = (0..5).map(|_| enter(&mut crowd, address(1))).collect();
        more.iter().for_each(|number| crowd.known(*number));
        assert!(crowd.enter(address(1), 0).is_err(), "ten connections");
        crowd.leave(first[0]);
        enter(&mut crowd, address(1));
    }

    #[test]
    fn arrivals_are_counted_even_if_they_leave_at_once() {
        let mut crowd = Crowd::new(CrowdLimits {
            address_arrivals: Allowance::per_minute(3),
            ..LIMITS
        });
        for _ in 0..3 {
            let number = enter(&mut crowd, address(1));
            crowd.leave(number);
        }
        assert_eq!(
            crowd
                .enter(address(1), 0)
                .expect_err("the fourth")
                .retry_after_ms,
            20_000
        );
        enter(&mut crowd, address(2));
        crowd
            .enter(address(1), 20_000)
            .expect("a third of a minute later");
    }

    #[test]
    fn the_greediest_makes_room_for_others() {
        let mut crowd = Crowd::new(LIMITS);
        let greedy: Vec<_> = (0..5).map(|_| enter(&mut crowd, address(1))).collect();
        let others: Vec<_> = (2..5)
            .map(|number| enter(&mut crowd, address(number)))
            .collect();
        let (_, cut) = crowd.enter(address(9), 0).expect("room is made");
        assert_eq!(cut, Some(greedy[0]), "the oldest of the greediest");
        crowd.leave(greedy[0]);
        // The greedy one cannot make itself room at the cost of others.
        assert!(!crowd.enter(address(1), 0).expect_err("full").greedy);
        // Nor does anybody lose a place to an equal.
        let all_equal = CrowdLimits {
            newcomers_max: 2,
            ..LIMITS
        };
        let mut crowd = Crowd::new(all_equal);
        enter(&mut crowd, address(1));
        enter(&mut crowd, address(2));
        assert!(crowd.enter(address(3), 0).is_err());
        drop(others);
    }

    #[test]
    fn devices_that_are_known_take_nothing_from_newcomers_and_are_never_cut() {
        let mut crowd = Crowd::new(LIMITS);
        for number in 0..100 {
            let visitor = enter(&mut crowd, address(number));
            crowd.known(visitor);
            crowd.known(visitor);
        }
        assert_eq!((crowd.newcomers(), crowd.len()), (0, 100));
    }

    #[test]
    fn who_comes_through_a_proxy_is_judged_when_that_is_told() {
        let mut crowd = Crowd::new(LIMITS);
        let through: Vec<_> = (0..6).map(|_| enter(&mut crowd, None)).collect();
        let told = Address::V4(Ipv4Addr::new(192, 0, 2, 1));
        for number in &through[..5] {
            crowd.settle(*number, told, 0).expect("its share");
        }
        assert!(
            crowd
                .settle(through[5], told, 0)
                .expect_err("one too many")
                .greedy
        );
        crowd.leave(through[5]);
        assert_eq!(crowd.newcomers(), 5);
        crowd
            .settle(through[0], Address::V6(7), 0)
            .expect("told once, it stays");
        assert!(crowd.enter(address(1), 0).is_err());
    }

    proptest! {
        /// After any comings and goings the counts are those of who is there, and none is over.
        #[test]
        fn counts_stay_true(steps in proptest::collection::vec((0_u8..4, 0_u8..6, 0_usize..20), 1..300)) {
            let mut crowd = Crowd::new(LIMITS);
            let mut there: Vec<(VisitorNumber, bool)> = Vec::new();
            for (step, from, which) in steps {
                match step {
                    0 | 1 => {
                        let from = address(from).filter(|_| from > 0);
                        if let Ok((number, cut)) = crowd.enter(from, 0) {
                            if let Some(cut) = cut {
                                let at = there.iter().position(|(number, _)| *number == cut);
                                let (_, known) = there.remove(at.expect("it was there"));
                                prop_assert!(!known, "a known device was cut");
                                crowd.leave(cut);
                            }
                            there.push((number, false));
                        }
                    }
                    2 if which < there.len() => {
                        there[which].1 = true;
                        crowd.known(there[which].0);
                    }
                    _ if which < there.len() => crowd.leave(there.swap_remove(which).0),
                    _ => {}
                }
                let newcomers = there.iter().filter(|(_, known)| !known).count();
                prop_assert_eq!((crowd.newcomers(), crowd.len()), (newcomers, there.len()));
                prop_assert!(newcomers <= LIMITS.newcomers_max);
                for from_one in crowd.addresses.values() {
                    prop_assert!(from_one.newcomers.len() <= LIMITS.address_newcomers_max);
                    prop_assert!((1..=LIMITS.address_connections_max).contains(&from_one.connections));
                }
            }
            for (number, _) in there {
                crowd.leave(number);
            }
            prop_assert!(crowd.is_empty() && crowd.addresses.is_empty());
        }
    }
}
