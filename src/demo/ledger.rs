//! A generated household ledger over three years, the same at each start: about 5,000 changes in
//! the shape of an accounting app.

use jiff::{Timestamp, tz::TimeZone};
use serde::Serialize;

use super::fixtures::{ACCOUNTS, CONTACTS, Contact};

/// It ends with the first complete transaction after this many.
const CHANGES: usize = 5_000;
/// Days from 1970 to 2023-01-01, the first day of the ledger.
const FIRST_DAY: i64 = 19_358;
/// 2026-01-01 in milliseconds: when the app started to sync.
const FIRST_TIMESTAMP_MS: u64 = 1_767_225_600_000;
const CHECKING: &str = "Assets:Bank:Checking";

#[derive(Serialize)]
struct Change {
    id: String,
    entity_type: &'static str,
    entity_id: String,
    operation: &'static str,
    payload: Payload,
    timestamp: u64,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Payload {
    Account {
        name: &'static str,
        r#type: String,
        opened: &'static str,
        currencies: [&'static str; 1],
    },
    Contact {
        name: &'static str,
    },
    Transaction {
        date: String,
        payee: &'static str,
        narration: String,
        flag: &'static str,
        tags: [&'static str; 0],
    },
    LineItem {
        transaction_id: String,
        account_id: String,
        account: &'static str,
        amount: String,
        currency: &'static str,
    },
    Nothing {},
}

/// Returns the changes in order, one line of JSON each.
pub(super) fn lines() -> Vec<String> {
    let mut book = Book {
        rng: SplitMix64(20_230_101),
        lines: Vec::new(),
        accounts: Vec::new(),
    };
    book.open();
    for day in 0.. {
        if book.lines.len() >= CHANGES {
            break;
        }
        book.day(FIRST_DAY + day);
    }
    book.lines
}

struct Book {
    rng: SplitMix64,
    lines: Vec<String>,
    accounts: Vec<(&'static str, String)>,
}

impl Book {
    fn open(&mut self) {
        for name in ACCOUNTS {
            let kind = name.split(':').next().unwrap_or_default().to_uppercase();
            let payload = Payload::Account {
                name,
                r#type: kind,
                opened: "2023-01-01",
                currencies: ["EUR"],
            };
            let id = self.create("ACCOUNT", payload);
            self.accounts.push((name, id));
        }
        for contact in CONTACTS {
            self.create("CONTACT", Payload::Contact { name: contact.name });
        }
        let opening = [(CHECKING, 412_055), ("Equity:Opening-Balances", -412_055)];
        self.transaction(FIRST_DAY, "Own funds", "Opening balance", &opening);
    }

    fn day(&mut self, day: i64) {
        let (_, _, day_of_month) = date(day);
        match day_of_month {
            1 => {
                let rent = [("Expenses:Home:Rent", 98_000), (CHECKING, -98_000)];
                self.transaction(day, "Lindner Housing", "Rent", &rent);
            }
            12 => self.settle_card(day),
            25 => self.salary(day),
            _ => {}
        }
        for _ in 0..1 + self.rng.below(2) {
            self.purchase(day);
        }
    }

    fn settle_card(&mut self, day: i64) {
        let cents = 20_000 + self.rng.below(40_000);
        let card = [("Liabilities:Card:Visa", cents), (CHECKING, -cents)];
        self.transaction(day, "Savings Bank", "Credit card paid off", &card);
    }

    fn salary(&mut self, day: i64) {
        let (gross, tax, pension) = (362_000, 71_450, 33_670);
        let parts = [
            ("Income:Salary", -gross),
            ("Expenses:Taxes:Income", tax),
            ("Expenses:Insurance:Pension", pension),
            (CHECKING, gross - tax - pension),
        ];
        self.transaction(day, "Hoffmann Joinery", "Salary", &parts);
    }

    fn purchase(&mut self, day: i64) {
        let contact: &Contact = &CONTACTS[self.rng.index(CONTACTS.len())];
        let cents = contact.cents_min + self.rng.below(contact.cents_max - contact.cents_min);
        let from = if self.rng.below(3) == 0 {
            "Liabilities:Card:Visa"
        } else {
            CHECKING
        };
        let id = self.transaction(
            day,
            contact.name,
            contact.narration,
            &[(contact.account, cents), (from, -cents)],
        );
        match self.rng.below(200) {
            0 => self.add("TRANSACTION", id, "DELETE", Payload::Nothing {}),
            1..12 => {
                let narration = format!("{} (reconciled)", contact.narration);
                self.add(
                    "TRANSACTION",
                    id,
                    "UPDATE",
                    heading(day, contact.name, narration),
                );
            }
            _ => {}
        }
    }

    /// The parts sum to zero: debits equal credits.
    fn transaction(
        &mut self,
        day: i64,
        payee: &'static str,
        narration: &str,
        parts: &[(&'static str, i64)],
    ) -> String {
        assert_eq!(
            parts.iter().map(|part| part.1).sum::<i64>(),
            0,
            "debits equal credits"
        );
        let id = self.create("TRANSACTION", heading(day, payee, narration.to_owned()));
        for (account, cents) in parts {
            let known = self.accounts.iter().find(|(name, _)| name == account);
            let account_id = known.expect("only known accounts are used").1.clone();
            let (transaction_id, amount) = (id.clone(), money(*cents));
            self.create(
                "TRANSACTION_LINE_ITEM",
                Payload::LineItem {
                    transaction_id,
                    account_id,
                    account,
                    amount,
                    currency: "EUR",
                },
            );
        }
        id
    }

    fn create(&mut self, entity_type: &'static str, payload: Payload) -> String {
        let id = self.rng.uuid();
        self.add(entity_type, id.clone(), "CREATE", payload);
        id
    }

    fn add(
        &mut self,
        entity_type: &'static str,
        entity_id: String,
        operation: &'static str,
        payload: Payload,
    ) {
        let timestamp = FIRST_TIMESTAMP_MS + 1_000 * (self.lines.len() as u64 + 1);
        let change = Change {
            id: self.rng.uuid(),
            entity_type,
            entity_id,
            operation,
            payload,
            timestamp,
        };
        self.lines
            .push(serde_json::to_string(&change).expect("text and numbers serialize to JSON"));
    }
}

fn heading(day: i64, payee: &'static str, narration: String) -> Payload {
    let (year, month, day) = date(day);
    Payload::Transaction {
        date: format!("{year}-{month:02}-{day:02}"),
        payee,
        narration,
        flag: "*",
        tags: [],
    }
}

fn money(cents: i64) -> String {
    let sign = if cents < 0 { "-" } else { "" };
    format!("{sign}{}.{:02}", cents.abs() / 100, cents.abs() % 100)
}

/// Returns year, month and day of a day since 1970.
fn date(day: i64) -> (i64, i64, i64) {
    let moment =
        Timestamp::from_second(day * 86_400).expect("the ledger's dates are representable");
    let date = moment.to_zoned_datetime(TimeZone::UTC).date();
    (date.year().into(), date.month().into(), date.day().into())
}

/// SplitMix64: the same numbers for the same seed on every platform.
struct SplitMix64(u64);

impl SplitMix64 {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, bound: i64) -> i64 {
        (self.next() >> 33) as i64 % bound
    }

    fn index(&mut self, length: usize) -> usize {
        (self.next() >> 33) as usize % length
    }

    /// Formats a version 4 UUID.
    fn uuid(&mut self) -> String {
        let high = (self.next() & !0xf000) | 0x4000;
        let low = (self.next() >> 2) | (1 << 63);
        let (first, second, third) = (high >> 32, (high >> 16) & 0xffff, high & 0xffff);
        format!(
            "{first:08x}-{second:04x}-{third:04x}-{:04x}-{:012x}",
            low >> 48,
            low & 0xffff_ffff_ffff
        )
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{HashMap, HashSet};

    use serde_json::Value;

    use super::*;

    #[test]
    fn ledger_is_deterministic_and_balances() {
        let lines = lines();
        assert_eq!(lines, super::lines());
        assert!(
            (CHANGES..CHANGES + 10).contains(&lines.len()),
            "{}",
            lines.len()
        );
        let changes: Vec<Value> = lines
            .iter()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        let ids: HashSet<_> = changes
            .iter()
            .map(|change| change["id"].to_string())
            .collect();
        assert_eq!(ids.len(), lines.len());
        let mut sums: HashMap<String, i64> = HashMap::new();
        for change in changes
            .iter()
            .filter(|change| change["entity_type"] == "TRANSACTION_LINE_ITEM")
        {
            let cents: i64 = change["payload"]["amount"]
                .as_str()
                .unwrap()
                .replace('.', "")
                .parse()
                .unwrap();
            *sums
                .entry(change["payload"]["transaction_id"].to_string())
                .or_default() += cents;
        }
        assert!(sums.len() > 1_000 && sums.values().all(|sum| *sum == 0));
        for operation in ["CREATE", "UPDATE", "DELETE"] {
            assert!(
                changes
                    .iter()
                    .any(|change| change["operation"] == operation),
                "{operation}"
            );
        }
    }

    #[test]
    fn days_convert_to_dates() {
        assert_eq!(
            (date(0), date(FIRST_DAY), date(19_782)),
            ((1970, 1, 1), (2023, 1, 1), (2024, 2, 29))
        );
        assert_eq!(
            (money(-5), money(123_456)),
            ("-0.05".to_owned(), "1234.56".to_owned())
        );
    }
}
