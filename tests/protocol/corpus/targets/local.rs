//! Local input: journal records after bit rot or manual edits, and admin requests.

use graceful_client::{EngineState, Identity};
use graceful_engine::FnRng;
use graceful_engine::record::Record;
use graceful_server::admin::AdminRequest;

/// A record that is read is written and read again as the same, and a state takes it or says why not.
pub fn journal_record(data: &[u8]) {
    let Some(record) = Record::from_bytes(data) else {
        return;
    };
    assert_eq!(
        Record::from_bytes(&record.to_bytes()).as_ref(),
        Some(&record)
    );
    let identity = Identity::create(
        "device",
        "name",
        &mut FnRng(|bytes: &mut [u8]| bytes.fill(0x31)),
    );
    let mut state = EngineState::new(&identity).expect("its own log is right");
    if state.apply(record).is_ok() {
        // What a state writes down when its journal is rewritten can be taken in again.
        let mut again = EngineState::new(&identity).expect("its own log is right");
        for record in state.records() {
            again.apply(record).expect("its own records are right");
        }
    }
}

/// A question that is understood is asked again in the same way.
pub fn operators_question(data: &[u8]) {
    if let Ok(question) = serde_json::from_slice::<AdminRequest>(data) {
        let line = serde_json::to_vec(&question).expect("a question can be asked");
        assert_eq!(
            serde_json::from_slice::<AdminRequest>(&line).ok(),
            Some(question)
        );
    }
}
