//! Cost and effect of padding over a real ledger: the figures of `docs/design/privacy.md`.

use std::collections::BTreeMap;
use std::path::Path;

use graceful_engine::seal::sealed_size;
use graceful_protocol::Limits;
use graceful_protocol::envelope::{CONTENT_OVERHEAD, CONTENT_START, SIZE_MIN, is_padded_size};

fn read(path: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path))
        .expect("a file of the crate")
}

/// Bits that the value of one of these tells, on average.
#[expect(clippy::cast_precision_loss, reason = "a few thousand")]
fn bits(values: impl Iterator<Item = usize> + Clone) -> f64 {
    let mut counts: BTreeMap<usize, usize> = BTreeMap::new();
    for value in values.clone() {
        *counts.entry(value).or_default() += 1;
    }
    let all = values.count() as f64;
    counts
        .values()
        .map(|count| *count as f64 / all)
        .map(|share| -share * share.log2())
        .sum()
}

fn different(values: impl Iterator<Item = usize>) -> usize {
    values.collect::<std::collections::BTreeSet<_>>().len()
}

/// Percent by which an envelope with this much content is larger than it need be.
#[expect(clippy::cast_precision_loss, reason = "envelopes are small")]
fn padding_percent(content: usize) -> f64 {
    let needed = CONTENT_START + CONTENT_OVERHEAD + content;
    100.0 * (sealed_size(content) - needed) as f64 / needed as f64
}

#[test]
#[expect(clippy::cast_precision_loss, reason = "envelopes are small")]
fn padding_figures_match_the_ledger() {
    let page = read("docs/design/privacy.md");
    let ledger = read("tests/data/ledger.jsonl");
    let lengths = ledger.lines().map(str::len);
    let sizes = lengths.clone().map(sealed_size);
    let (plain, sealed): (usize, usize) = (lengths.clone().sum(), sizes.clone().sum());
    let fixed = CONTENT_START + CONTENT_OVERHEAD;
    let needed = plain + fixed * lengths.clone().count();
    let largest = usize::try_from(Limits::default().envelope_bytes_max).expect("fits");
    let worst = (0..largest - fixed)
        .map(padding_percent)
        .fold(0.0, f64::max);
    assert!(
        (240..260).contains(
            &(SIZE_MIN..=largest)
                .filter(|size| is_padded_size(*size))
                .count()
        )
    );
    let megabytes = |bytes: usize| format!("{:.2} MB", bytes as f64 / 1e6);
    for figure in [
        format!("{fixed} bytes of each"),
        format!("at most {worst:.1} % more"),
        format!("4,{:03} changes", lengths.clone().count() - 4_000),
        format!(
            "of {} to {} bytes",
            lengths.clone().min().expect("some"),
            lengths.clone().max().expect("some")
        ),
        format!(
            "| {} | {}, {:.2} times",
            megabytes(plain),
            megabytes(sealed),
            sealed as f64 / plain as f64
        ),
        format!(
            "| {:.1} % |",
            100.0 * (sealed - needed) as f64 / needed as f64
        ),
        format!(
            "| {} | {} |",
            different(lengths.clone()),
            different(sizes.clone())
        ),
        format!("| {:.1} bits | {:.1} bits |", bits(lengths), bits(sizes)),
        format!("at 10 kB the padding is {:.1} %", padding_percent(10_000)),
        format!("1 MB {:.1} %", padding_percent(1_000_000)),
    ] {
        assert!(
            page.replace('\n', " ").contains(&figure),
            "docs/design/privacy.md does not say {figure:?}"
        );
    }
}
