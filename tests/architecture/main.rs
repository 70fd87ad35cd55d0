//! Rules that the compiler does not check: crate edges, purity, secrets without a derived `Debug`, promises that
//! name existing tests, sizes and wording.
//!
//! Each rule is also fed a planted offender, so that it is known to be able to fail.

mod crates;
mod links;
mod paths;
mod promises;
mod purity;
mod schema;
mod secrets;
mod shape;
mod source;
mod wasm;
mod wording;

use source::Source;

fn root() -> &'static std::path::Path {
    std::path::Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Returns every source file of the crates and the program. Fails if it finds too few.
fn sources() -> Vec<Source> {
    let sources = source::walk_all(root(), &["src", "crates"]);
    assert!(
        sources.len() >= 200,
        "only {} source files found",
        sources.len()
    );
    sources
}

/// A planted file.
fn file(path: &str, text: &str) -> Vec<Source> {
    vec![Source::new(path, text)]
}

fn assert_none(offences: &[String]) {
    assert!(offences.is_empty(), "\n{}\n", offences.join("\n"));
}

#[test]
fn files_and_functions_stay_within_limits() {
    let sources = sources();
    for warning in shape::warnings(&sources) {
        println!("warning: {warning}");
    }
    assert_none(&shape::offences(&sources));
}

#[test]
fn planted_long_function_is_seen() {
    let lines = |count: usize| "    work();\n".repeat(count);
    let seen = |text: &str| shape::offences(&file("rules/a.rs", text)).len();
    let function = |body: usize| format!("fn f(a: [u8; 3]) -> u8 {{\n{}}}\n", lines(body));
    assert_eq!(seen(&function(shape::FUNCTION_LINES_MAX - 2)), 0);
    assert_eq!(seen(&function(shape::FUNCTION_LINES_MAX - 1)), 1);
    assert_eq!(
        seen(&format!(
            "impl A {{\nasync fn f<T>()\nwhere T: B,\n{{\nif a {{\n{}}}\n}}\n}}\n",
            lines(117)
        )),
        1
    );
    assert_eq!(seen(&"const A: u8 = 1;\n".repeat(shape::FILE_LINES_MAX)), 0);
    assert_eq!(
        seen(&"const A: u8 = 1;\n".repeat(shape::FILE_LINES_MAX + 1)),
        1
    );
    assert_eq!(
        seen(&format!(
            "#[cfg(test)]\nmod tests {{\n{}}}\n",
            function(500)
        )),
        0
    );
}

#[test]
fn unsafe_code_is_denied_everywhere() {
    let manifest = std::fs::read_to_string(root().join("Cargo.toml")).expect("Cargo.toml is there");
    assert!(
        manifest.contains("unsafe_code = \"deny\"")
            || manifest.contains("unsafe_code = \"forbid\"")
    );
    assert_none(&shape::offences_of_unsafe(&sources()));
    assert_eq!(
        shape::offences_of_unsafe(&file(
            "a.rs",
            "#![allow(unsafe_code)]\nfn f() { unsafe { g() } }"
        ))
        .len(),
        2
    );
    assert!(shape::offences_of_unsafe(&file("a.rs", "// unsafe\nfn f() { safe() }")).is_empty());
}

#[test]
fn secrets_have_no_derived_debug() {
    assert_none(&secrets::offences(&sources()));
}

#[test]
fn planted_secret_in_derived_debug_is_seen() {
    let seen = |text: &str| secrets::offences(&file("client/a.rs", text)).len();
    assert_eq!(
        seen("#[derive(Debug)]\nstruct A {\n    signing_seed: [u8; 32],\n    name: String,\n}"),
        1
    );
    assert_eq!(
        seen("#[derive(Clone, Debug)]\n#[serde(x)]\npub struct A { pub invite: Option<String> }"),
        1
    );
    assert_eq!(
        seen("#[derive(Debug)]\nenum A {\n    Invite(String),\n    Other(u64),\n}"),
        1
    );
    assert_eq!(
        seen("#[derive(Debug)]\nstruct Secret(Zeroizing<Vec<u8>>);"),
        1
    );
    assert_eq!(
        seen(
            "#[derive(Debug)]\nstruct A {\n    secrets: Vec<EpochSecret>,\n    link: PairingLink,\n}"
        ),
        0
    );
    assert_eq!(
        seen("#[derive(Clone)]\nstruct A {\n    secret: [u8; 32],\n}"),
        0
    );
    assert_eq!(
        seen("#[derive(Debug)]\nstruct A;\nstruct B {\n    secret: String,\n}"),
        0
    );
}

#[test]
fn promises_name_existing_tests() {
    let sources = [sources(), source::walk(&root().join("tests"))].concat();
    for path in promises::PAGES {
        let page = std::fs::read_to_string(root().join(path)).expect("the page is there");
        let named = promises::named(&page);
        assert!(named.len() >= 15, "{path} names only {named:?}");
        assert_none(&promises::offences(path, &named, &sources));
    }
    let named = promises::named("`read_me`, `no_such_test`, `it_is_there`");
    assert_eq!(named, ["no_such_test", "it_is_there"]);
    let made_up = file("a.rs", "fn it_is_there() {} // fn no_such_test() {}");
    assert_eq!(promises::offences("a.md", &named, &made_up).len(), 1);
}

#[test]
fn module_roots_have_a_doc_comment() {
    let sources = sources();
    let doors = sources
        .iter()
        .filter(|source| source.path.ends_with("mod.rs"));
    let silent: Vec<_> = doors
        .filter(|server| !server.text.starts_with("//! "))
        .map(|server| server.path.clone())
        .collect();
    assert_none(&silent);
}

#[test]
fn pure_crates_name_no_clock_randomness_or_disk() {
    assert_none(&purity::offences(&sources()));
}

#[test]
fn planted_impure_decision_is_seen() {
    let seen = |path: &str, text: &str| purity::offences(&file(path, text)).len();
    let rules = "crates/rules/src/expiry.rs";
    assert_eq!(
        seen(rules, "fn f() { let now = std::time::Instant::now(); }"),
        1
    );
    let id = "crates/protocol/src/id.rs";
    assert_eq!(
        seen(
            id,
            "fn f() { getrandom::fill(&mut [0]); SystemTime::now(); }"
        ),
        2
    );
    assert_eq!(
        seen(
            "crates/engine/src/engine/mod.rs",
            "fn f() { std::fs::read(path) }"
        ),
        1
    );
    assert_eq!(
        seen(
            "crates/client/src/journal.rs",
            "fn f() { std::fs::read(path) }"
        ),
        0
    );
    assert_eq!(
        seen(
            rules,
            "#[cfg(test)]\nmod tests { fn f() { Instant::now(); } }"
        ),
        0
    );
}

/// The one import that a browser has to offer: randomness, by wasm-bindgen.
fn unexpected_imports(module: &[u8]) -> Vec<String> {
    wasm::imports(module)
        .into_iter()
        .filter(|(module, _)| !module.starts_with("__wbindgen_"))
        .map(|(module, name)| format!("imports `{name}` from `{module}`"))
        .collect()
}

/// Needs a module: `./check wasm` builds one of each pure crate.
#[test]
#[ignore = "needs GRACEFUL_WASM_MODULE; ./check wasm runs it"]
fn wasm_module_imports_nothing_but_randomness() {
    let path = std::env::var_os("GRACEFUL_WASM_MODULE").expect("GRACEFUL_WASM_MODULE is set");
    let module = std::fs::read(&path).expect("the module can be read");
    assert!(
        module.len() > 100_000,
        "a module of {} bytes has lost the crate",
        module.len()
    );
    assert_none(&unexpected_imports(&module));
}

#[test]
fn wasm_import_from_env_is_seen() {
    let module = |name: &str, import: &[u8]| {
        let mut section = vec![1, u8::try_from(name.len()).expect("short")];
        section.extend(name.as_bytes());
        section.extend(import);
        let mut module = b"\0asm\x01\0\0\0".to_vec();
        module.extend([2, u8::try_from(section.len()).expect("short")]);
        module.extend(section);
        module
    };
    assert_eq!(
        unexpected_imports(&module("env", b"\x03now\x00\x00")),
        ["imports `now` from `env`"]
    );
    assert!(unexpected_imports(&module("__wbindgen_placeholder__", b"\x01r\x00\x00")).is_empty());
}

#[test]
fn crates_have_only_the_edges_of_the_layout() {
    let mut dependencies = crates::read(root());
    for (name, _) in crates::EDGES {
        assert!(
            dependencies.contains_key(*name),
            "{name} is not a crate of the workspace"
        );
    }
    assert_none(&crates::offences(&dependencies));
    let server = dependencies
        .get_mut("graceful-server")
        .expect("the server is a crate");
    server.extend(["graceful-engine".to_owned(), "hpke".to_owned()]);
    // One edge, and two sealing crates.
    assert_eq!(crates::offences(&dependencies).len(), 3);
}

#[test]
fn private_words_do_not_return() {
    let pages = [
        wording::pages(root()),
        wording::help(&graceful_testing::program::path()),
    ]
    .concat();
    assert!(pages.len() >= 300, "only {} pages found", pages.len());
    assert_none(&wording::offences(&pages, wording::WORDS));
}

#[test]
fn planted_private_word_is_seen() {
    let words: &[(&str, &str, &[&str])] = &[
        ("founder", "creator", &["docs/old.md"]),
        ("the roll", "the list", &[]),
    ];
    let seen = |path: &str, text: &str| {
        let page = wording::Page {
            path: path.to_owned(),
            text: text.to_owned(),
        };
        wording::offences(&[page], words).len()
    };
    assert_eq!(seen("a.rs", "fn is_founder() {}"), 1);
    assert_eq!(seen("a.md", "A Founder, and\nthe roll."), 2);
    assert_eq!(seen("a.md", "founders, foundered, the rolling stone"), 0);
    assert_eq!(seen("docs/old.md", "a founder"), 0);
}
