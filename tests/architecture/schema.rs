//! The Rust code of the two schemas, made from `proto/` and committed: a build needs no compiler for them.

use std::fs;
use std::path::Path;

/// A schema, and the crate that holds its code.
struct Schema {
    file: &'static str,
    package: &'static str,
    crate_dir: &'static str,
    /// Messages with secrets; their `Debug` is written by hand.
    without_debug: &'static str,
}

const SCHEMAS: [Schema; 2] = [
    Schema {
        file: "relay.proto",
        package: "graceful.relay.v1",
        crate_dir: "crates/protocol",
        without_debug: ".graceful.relay.v1.CreateAccount",
    },
    Schema {
        file: "sealed.proto",
        package: "graceful.sealed.v1",
        crate_dir: "crates/engine",
        without_debug: ".graceful.sealed.v1.AccountBundle",
    },
];

/// `UPDATE_SCHEMA=1 cargo test --test architecture schema` writes the code anew.
#[test]
fn schema_code_is_up_to_date() {
    let root = super::root();
    for schema in SCHEMAS {
        let generated = generate(root, &schema);
        let path = root
            .join(schema.crate_dir)
            .join(format!("src/generated/{}.rs", schema.package));
        if std::env::var_os("UPDATE_SCHEMA").is_some() {
            fs::write(&path, &generated).expect("the code can be written");
        }
        let committed = fs::read_to_string(&path).expect("the code is committed");
        assert!(
            committed == generated,
            "{} is not what proto/{} says; run UPDATE_SCHEMA=1 cargo test --test architecture schema",
            path.display(),
            schema.file
        );
    }
}

fn generate(root: &Path, schema: &Schema) -> String {
    let files = protox::compile([schema.file], [root.join("proto")]).expect("the schema compiles");
    let folder = tempfile::tempdir().expect("a temporary directory");
    prost_build::Config::new()
        .bytes(["."])
        .skip_debug([schema.without_debug])
        .out_dir(folder.path())
        .compile_fds(files)
        .expect("code can be made of the schema");
    let code = fs::read_to_string(folder.path().join(format!("{}.rs", schema.package)));
    code.expect("the code was made")
}
