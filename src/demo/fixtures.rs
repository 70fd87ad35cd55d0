//! The people and shops in the generated ledger.

/// A payee.
pub(super) struct Contact {
    /// Its name.
    pub(super) name: &'static str,
    /// What is bought there.
    pub(super) narration: &'static str,
    /// The ledger account of the purchase.
    pub(super) account: &'static str,
    /// Smallest purchase.
    pub(super) cents_min: i64,
    /// Largest purchase.
    pub(super) cents_max: i64,
}

const fn contact(
    name: &'static str,
    narration: &'static str,
    account: &'static str,
    cents_min: i64,
    cents_max: i64,
) -> Contact {
    Contact {
        name,
        narration,
        account,
        cents_min,
        cents_max,
    }
}

/// All ledger accounts.
pub(super) const ACCOUNTS: [&str; 22] = [
    "Equity:Opening-Balances",
    "Assets:Bank:Checking",
    "Assets:Bank:Savings",
    "Liabilities:Card:Visa",
    "Income:Salary",
    "Expenses:Taxes:Income",
    "Expenses:Insurance:Pension",
    "Expenses:Home:Rent",
    "Expenses:Home:Electricity",
    "Expenses:Home:Internet",
    "Expenses:Home:Repairs",
    "Expenses:Food:Groceries",
    "Expenses:Food:Restaurant",
    "Expenses:Food:Coffee",
    "Expenses:Transport:Tram",
    "Expenses:Transport:Bicycle",
    "Expenses:Health:Pharmacy",
    "Expenses:Health:Dentist",
    "Expenses:Leisure:Books",
    "Expenses:Leisure:Cinema",
    "Expenses:Children:School",
    "Expenses:Gifts",
];

/// All payees.
pub(super) const CONTACTS: [Contact; 20] = [
    contact(
        "Corner Bakery Weiss",
        "Bread and rolls",
        "Expenses:Food:Groceries",
        280,
        1_450,
    ),
    contact(
        "Green Market",
        "Vegetables for the week",
        "Expenses:Food:Groceries",
        900,
        4_800,
    ),
    contact(
        "Harbour Supermarket",
        "Weekly shopping",
        "Expenses:Food:Groceries",
        2_500,
        14_000,
    ),
    contact(
        "Trattoria Lucia",
        "Dinner with Ann and Tom",
        "Expenses:Food:Restaurant",
        3_200,
        9_800,
    ),
    contact(
        "Noodle House",
        "Lunch",
        "Expenses:Food:Restaurant",
        850,
        2_400,
    ),
    contact("Café Morgen", "Coffee", "Expenses:Food:Coffee", 260, 980),
    contact(
        "City Tramways",
        "Ten-ride ticket",
        "Expenses:Transport:Tram",
        1_900,
        2_700,
    ),
    contact(
        "Cycle Works",
        "New brake pads",
        "Expenses:Transport:Bicycle",
        1_200,
        11_000,
    ),
    contact(
        "Municipal Power",
        "Electricity",
        "Expenses:Home:Electricity",
        4_500,
        9_900,
    ),
    contact(
        "Fibre & Sons",
        "Internet",
        "Expenses:Home:Internet",
        3_990,
        4_490,
    ),
    contact(
        "Brandt Plumbing",
        "The kitchen tap",
        "Expenses:Home:Repairs",
        6_500,
        28_000,
    ),
    contact(
        "Lion Pharmacy",
        "Prescription",
        "Expenses:Health:Pharmacy",
        500,
        4_200,
    ),
    contact(
        "Dr. Okafor",
        "Dental check-up",
        "Expenses:Health:Dentist",
        4_000,
        19_000,
    ),
    contact(
        "Page & Leaf",
        "Two novels",
        "Expenses:Leisure:Books",
        1_100,
        4_600,
    ),
    contact(
        "Odeon",
        "Cinema with the children",
        "Expenses:Leisure:Cinema",
        1_800,
        5_200,
    ),
    contact(
        "Primary School",
        "School trip",
        "Expenses:Children:School",
        700,
        6_000,
    ),
    contact(
        "Stationer Kurz",
        "Exercise books",
        "Expenses:Children:School",
        350,
        2_600,
    ),
    contact(
        "Flower Stall",
        "Flowers for Grandmother",
        "Expenses:Gifts",
        900,
        3_500,
    ),
    contact(
        "Toy Chest",
        "Birthday present for Mia",
        "Expenses:Gifts",
        1_500,
        5_900,
    ),
    contact(
        "Farm Shop Ritter",
        "Eggs, cheese, honey",
        "Expenses:Food:Groceries",
        1_200,
        4_100,
    ),
];
