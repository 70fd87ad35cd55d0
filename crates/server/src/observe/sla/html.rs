//! The monthly report as a self-contained HTML page.

use std::fmt::Write;

use super::month::Report;
use super::plot;
use super::text::{lasted, shares};

const STYLE: &str = "
:root{color-scheme:light dark;--ink:#1c2430;--soft:#5b6675;--paper:#fff;--line:#d9dee5;--good:#2a8f5b;--bad:#c8373a;--p50:#2a8f5b;--p95:#b7791f;--p99:#7b4fc9}
@media(prefers-color-scheme:dark){:root{--ink:#e4e9f0;--soft:#9aa5b4;--paper:#12161c;--line:#2d3540;--good:#4cc38a;--bad:#ff7b7b;--p50:#4cc38a;--p95:#e5b567;--p99:#b794f6}}
body{margin:0;background:var(--paper);color:var(--ink);font:16px/1.5 system-ui,sans-serif}
main{max-width:46rem;margin:0 auto;padding:1.5rem 1rem 3rem}
h1{font-size:1.6rem;margin:.2rem 0 0}h2{font-size:1.1rem;margin:2rem 0 .5rem}
.big{font-size:2.6rem;font-weight:650;line-height:1.2;margin:.6rem 0 0}.good-text{color:var(--good)}.bad-text{color:var(--bad)}
.soft,dt,th{color:var(--soft)}p{margin:.2rem 0}
dl{display:grid;grid-template-columns:max-content 1fr;gap:.15rem 1rem;margin:1rem 0 0}dd{margin:0}
svg{width:100%;height:auto;display:block}svg text{fill:var(--soft);font:12px system-ui,sans-serif}
.grid{stroke:var(--line);fill:none}.target{stroke:var(--ink);stroke-dasharray:5 4;fill:none}
.good{fill:var(--good)}.bad{fill:var(--bad)}
.p50,.p95,.p99{fill:none;stroke-width:2.5;stroke-linejoin:round;stroke-linecap:round}
.p50{stroke:var(--p50)}.p95{stroke:var(--p95)}.p99{stroke:var(--p99)}
.key span{display:inline-block;width:1.2em;height:.25em;margin:0 .4em 0 1em;vertical-align:middle;border-radius:2px}
.wide{overflow-x:auto}table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums}
th,td{text-align:left;padding:.3rem .8rem .3rem 0;border-bottom:1px solid var(--line);vertical-align:top}th{font-weight:500}
ul{padding:0;list-style:none}li{padding:.5rem 0;border-bottom:1px solid var(--line)}
summary{cursor:pointer;margin-top:2rem}
@media(max-width:600px){svg text{font-size:17px}}
@media print{details{display:none}}
";

impl Report {
    /// Renders the report.
    pub fn to_html(&self) -> String {
        let (month, so_far) = (&self.month, if self.is_over { "" } else { ", so far" });
        let mut page = format!(
            "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
             <meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\
             <title>Uptime of {month}</title><style>{STYLE}</style></head>\n<body><main>\n\
             <p class=\"soft\">Graceful Relay</p><h1>Uptime of {month}{so_far}</h1>\n"
        );
        page += &self.headline();
        page += "<dl>";
        for (name, value) in self.facts().iter().skip(1) {
            let _ = write!(page, "<dt>{name}</dt><dd>{}</dd>", escaped(value));
        }
        page += "</dl>\n<h2>Uptime, day by day</h2>\n";
        page += &plot::uptime(self);
        let _ = writeln!(
            page,
            "<p class=\"soft\">The dashed line is the target, {} %.</p>",
            self.target_percent
        );
        page += "<h2>Push to stored</h2>\n";
        page += &plot::latency(self);
        page += "<p class=\"soft key\">share of pushes:";
        for (name, text) in [("p50", "50 %"), ("p95", "95 %"), ("p99", "99 %")] {
            let _ = write!(
                page,
                "<span style=\"background:var(--{name})\"></span>{text}"
            );
        }
        page += "</p>\n<h2>Incidents</h2>\n";
        page += &self.happened();
        page += &self.table();
        page + "</main></body></html>\n"
    }

    fn headline(&self) -> String {
        match (self.uptime_percent, self.target_met) {
            (Some(uptime), Some(met)) => {
                let (class, word) = if met {
                    ("good-text", "met")
                } else {
                    ("bad-text", "missed")
                };
                format!(
                    "<p class=\"big {class}\">{uptime} %</p><p>The target of {} % was <strong>{word}</strong>.</p>\n",
                    self.target_percent
                )
            }
            _ => "<p class=\"big\">–</p><p>Nothing was recorded.</p>\n".to_owned(),
        }
    }

    fn happened(&self) -> String {
        let mut list = "<ul>".to_owned();
        for one in &self.incidents {
            let kind = if one.planned {
                " · planned, does not count"
            } else {
                ""
            };
            let _ = write!(
                list,
                "<li><strong>{}</strong>{kind}<br>{}<br><span class=\"soft\">{} to {} UTC</span></li>",
                lasted(one.lasted_s),
                escaped(&one.cause),
                one.from,
                one.until
            );
        }
        list + "</ul>" + &format!("<p>{}</p>\n", self.no_more(""))
    }

    fn table(&self) -> String {
        let mut table = "<details><summary>All days</summary><div class=\"wide\"><table><tr><th>day</th><th>uptime</th>\
                         <th>down</th><th>planned</th><th>pushes</th><th>p50</th><th>p95</th><th>p99</th></tr>"
            .to_owned();
        for day in &self.days {
            let uptime = day
                .uptime_percent
                .map_or_else(|| "–".to_owned(), |uptime| format!("{uptime} %"));
            let cells = [
                day.day.to_string(),
                uptime,
                lasted(day.down_s),
                lasted(day.planned_s),
                day.pushes.to_string(),
            ];
            let cells = cells.into_iter().chain(shares(day.latency.as_ref()));
            let _ = write!(
                table,
                "<tr>{}</tr>",
                cells
                    .map(|cell| format!("<td>{cell}</td>"))
                    .collect::<String>()
            );
        }
        table + "</table></div></details>\n"
    }
}

/// Escapes the text of an element.
pub(crate) fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::super::month::tests::november;

    #[test]
    fn the_page_needs_nothing_else_and_shows_every_day() {
        let page = november().to_html();
        for outside in ["http", "src=", "url(", "<script", "@import", "<link"] {
            assert!(!page.contains(outside), "{outside}");
        }
        assert_eq!(page.matches("<rect ").count(), 30);
        assert_eq!(page.matches("class=\"bad\"").count(), 2);
        assert!(
            page.contains("prefers-color-scheme:dark") && page.contains("the disk is nearly full")
        );
    }

    #[test]
    fn a_month_without_a_record_is_a_page_all_the_same() {
        let mut report = november();
        (report.uptime_percent, report.target_met, report.latency) = (None, None, None);
        for day in &mut report.days {
            (day.uptime_percent, day.latency) = (None, None);
        }
        report.incidents.clear();
        let page = report.to_html();
        assert!(
            page.contains("Nothing was recorded")
                && page.contains("None.")
                && !page.contains("NaN")
        );
    }
}
