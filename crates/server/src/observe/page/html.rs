//! The status page: without scripts, for phones too, with a dark mode.

use std::fmt::Write;

use super::{DaySummary, Region, State};
use crate::observe::sla::{escaped, lasted};

/// The only style, which the content security policy names by its hash.
pub const STYLE: &str = "
:root{color-scheme:light dark;--ink:#1c2430;--soft:#5b6675;--paper:#f6f8fa;--card:#fff;--line:#d9dee5;--up:#2a8f5b;--some:#b7791f;--down:#c8373a;--none:#cfd6de}
@media(prefers-color-scheme:dark){:root{--ink:#e4e9f0;--soft:#9aa5b4;--paper:#12161c;--card:#191f27;--line:#2d3540;--up:#4cc38a;--some:#e5b567;--down:#ff7b7b;--none:#38424f}}
*{box-sizing:border-box}body{margin:0;background:var(--paper);color:var(--ink);font:16px/1.5 system-ui,sans-serif}
main{max-width:48rem;margin:0 auto;padding:1.5rem 1rem 3rem}
h1{font-size:1.7rem;line-height:1.25;margin:0 0 1.5rem;padding:1.1rem 1.25rem;border-radius:.6rem;color:#fff;background:var(--up)}
h1.down{background:var(--down)}h1.maintenance{background:var(--some)}
@media(prefers-color-scheme:dark){h1{color:#0d1116}}
h2{font-size:1.15rem;margin:0}h3{font-size:1rem;margin:1.25rem 0 .25rem}
section{background:var(--card);border:1px solid var(--line);border-radius:.6rem;padding:1.1rem 1.25rem;margin:0 0 1rem}
header{display:flex;justify-content:space-between;gap:1rem;align-items:baseline;flex-wrap:wrap}
.state{font-weight:600;color:var(--up)}.state.down{color:var(--down)}.state.maintenance{color:var(--some)}
.soft,th,dt{color:var(--soft)}p{margin:.25rem 0}
svg{display:block;width:100%;height:2.4rem;margin:.7rem 0 .2rem}
.up{fill:var(--up)}.some{fill:var(--some)}.bad{fill:var(--down)}.none{fill:var(--none)}
.ends{display:flex;justify-content:space-between;font-size:.85rem}
dl{display:flex;flex-wrap:wrap;gap:.2rem 2rem;margin:.8rem 0 0}dl div{display:flex;gap:.5rem}dd{margin:0;font-variant-numeric:tabular-nums}
ul{list-style:none;padding:0;margin:0}li{padding:.45rem 0;border-top:1px solid var(--line)}
summary{cursor:pointer;margin-top:.8rem}table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums}
th,td{text-align:left;padding:.25rem .6rem .25rem 0;border-bottom:1px solid var(--line)}th{font-weight:500}
footer{font-size:.9rem;margin-top:1.5rem}a{color:inherit}
";

/// Uptime of a day above which an outage counts as minor, in percent.
const SMALL_TROUBLE_PERCENT: f64 = 99.0;

/// Renders the page.
pub fn page(regions: &[Region]) -> String {
    let worst = regions
        .iter()
        .map(|region| region.state)
        .max_by_key(|state| gravity(*state));
    let (class, headline) = headline(worst.unwrap_or(State::Up), regions);
    let mut page = format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\
         <meta http-equiv=\"refresh\" content=\"120\"><title>{headline}</title><style>{STYLE}</style></head>\n\
         <body><main>\n<h1 class=\"{class}\">{headline}</h1>\n"
    );
    for region in regions {
        page += &section(region);
    }
    let made = regions
        .iter()
        .map(|region| region.made.as_str())
        .min()
        .unwrap_or("-");
    let _ = write!(
        page,
        "<footer class=\"soft\"><p>As of {} UTC. Changes that a device has made stay on it until the relay has \
         them: while a relay is away, nothing is lost, and devices go on by themselves when it is back.</p>\
         <p><a href=\"status.json\">The same for programs</a></p></footer>\n</main></body></html>\n",
        escaped(made)
    );
    page
}

fn gravity(state: State) -> u8 {
    match state {
        State::Up => 0,
        State::Maintenance => 1,
        State::Down => 2,
    }
}

fn headline(worst: State, regions: &[Region]) -> (&'static str, String) {
    let away = regions
        .iter()
        .filter(|region| region.state == worst)
        .count();
    let of = |what: &str| match regions.len() {
        1 => format!("Sync is {what}"),
        all => format!("Sync is {what} in {away} of {all} regions"),
    };
    match worst {
        State::Up => ("up", "Sync works".to_owned()),
        State::Maintenance => ("maintenance", of("being maintained")),
        State::Down => ("down", of("down")),
    }
}

fn section(region: &Region) -> String {
    let (class, word) = match region.state {
        State::Up => ("up", "works"),
        State::Maintenance => ("maintenance", "maintenance"),
        State::Down => ("down", "down"),
    };
    let name = escaped(&region.name);
    let mut text = format!(
        "<section><header><h2>{name}</h2><span class=\"state {class}\">{word}</span></header>\n"
    );
    if let Some(cause) = &region.cause {
        let _ = writeln!(text, "<p>{}</p>", escaped(cause));
    }
    text += &bars(region);
    text += "<dl>";
    let mut fact = |name: &str, value: &str| {
        let _ = write!(text, "<div><dt>{name}</dt><dd>{value}</dd></div>");
    };
    let uptime = region
        .uptime_percent
        .map_or_else(|| "–".to_owned(), |uptime| format!("{uptime} %"));
    fact("uptime, 90 days", &uptime);
    if let Some(latency) = &region.latency {
        let times = [
            ("half", latency.p50_ms),
            ("95 of 100", latency.p95_ms),
            ("99 of 100", latency.p99_ms),
        ];
        for (share, ms) in times {
            fact(&format!("{share} saved within"), &format!("{ms} ms"));
        }
    }
    text += "</dl>\n";
    text + &happened(region) + &table(region) + "</section>\n"
}

fn bars(region: &Region) -> String {
    let mut svg = format!(
        "<svg viewBox=\"0 0 {} 24\" preserveAspectRatio=\"none\" role=\"img\" aria-label=\"Uptime day by day; the \
         table below has it in words\">",
        region.days.len() * 4
    );
    for (at, day) in region.days.iter().enumerate() {
        let _ = write!(
            svg,
            "<rect class=\"{}\" x=\"{}\" width=\"3\" height=\"24\" rx=\"1\"><title>{}</title></rect>",
            class(day),
            at * 4,
            escaped(&in_words(day))
        );
    }
    svg + "</svg><p class=\"ends soft\"><span>90 days ago</span><span>today</span></p>\n"
}

fn class(day: &DaySummary) -> &'static str {
    match day.uptime_percent {
        None => "none",
        Some(percent) if percent >= 100.0 => "up",
        Some(percent) if percent >= SMALL_TROUBLE_PERCENT => "some",
        Some(_) => "bad",
    }
}

fn in_words(day: &DaySummary) -> String {
    let uptime = match day.uptime_percent {
        Some(percent) => format!("{percent} %"),
        None => "not on record".to_owned(),
    };
    let mut text = format!("{}: {uptime}", day.date);
    for (seconds, what) in [(day.down_s, "down"), (day.planned_s, "planned")] {
        if seconds > 0 {
            let _ = write!(text, ", {} {what}", lasted(seconds));
        }
    }
    text
}

fn happened(region: &Region) -> String {
    if region.incidents.is_empty() {
        return "<p class=\"soft\">Nothing happened in these days.</p>\n".to_owned();
    }
    let mut list = "<h3>What happened</h3><ul>".to_owned();
    for one in &region.incidents {
        let planned = if one.planned && !one.cause.contains("planned") {
            " · planned"
        } else {
            ""
        };
        let _ = write!(
            list,
            "<li><strong>{}</strong>{planned} · {}<br><span class=\"soft\">{} to {} UTC</span></li>",
            lasted(one.lasted_s),
            escaped(&one.cause),
            escaped(&one.from),
            escaped(&one.until)
        );
    }
    list += "</ul>";
    if region.incidents_more > 0 {
        let _ = write!(
            list,
            "<p class=\"soft\">and {} more</p>",
            region.incidents_more
        );
    }
    list + "\n"
}

fn table(region: &Region) -> String {
    let mut table = "<details><summary>Each day in words</summary><table><tr><th scope=\"col\">day</th>\
                     <th scope=\"col\">uptime</th><th scope=\"col\">down</th><th scope=\"col\">planned</th></tr>"
        .to_owned();
    for day in region
        .days
        .iter()
        .rev()
        .filter(|day| day.uptime_percent.is_some() || day.planned_s > 0)
    {
        let uptime = day
            .uptime_percent
            .map_or_else(|| "–".to_owned(), |uptime| format!("{uptime} %"));
        let _ = write!(
            table,
            "<tr><td>{}</td><td>{uptime}</td><td>{}</td><td>{}</td></tr>",
            escaped(&day.date),
            lasted(day.down_s),
            lasted(day.planned_s)
        );
    }
    table + "</table></details>\n"
}

#[cfg(test)]
mod tests {
    use super::super::tests::region;
    use super::*;

    #[test]
    fn the_page_says_the_worst_first_and_escapes_what_it_was_given() {
        let one = page(&[region("Frankfurt", State::Up)]);
        assert!(one.contains("<h1 class=\"up\">Sync works</h1>"), "{one}");
        assert!(
            one.contains("the disk is &lt;nearly&gt; full") && !one.contains("<nearly>"),
            "{one}"
        );
        assert_eq!(one.matches("<rect ").count(), 90);
        assert!(
            !one.contains("<script") && !one.contains("style=\""),
            "the header lets neither pass"
        );
        let regions = [
            region("A & B", State::Up),
            region("<b>", State::Down),
            region("C", State::Maintenance),
        ];
        let many = page(&regions);
        assert!(
            many.contains("<h1 class=\"down\">Sync is down in 1 of 3 regions</h1>"),
            "{many}"
        );
        assert!(
            many.contains("<h2>A &amp; B</h2>") && many.contains("<h2>&lt;b&gt;</h2>"),
            "{many}"
        );
    }
}
