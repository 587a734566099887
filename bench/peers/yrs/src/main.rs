//! The work of crdt_bench, done by native yrs; same arguments, same line of results.
use std::time::Instant;
use yrs::updates::decoder::Decode;
use yrs::{Doc, GetString, ReadTxn, StateVector, Text, Transact, Update};

fn read_parts(path: &str) -> Vec<Vec<u8>> {
    let bytes = std::fs::read(path).expect("the input file");
    let mut parts = Vec::new();
    let mut at = 0;
    while at + 4 <= bytes.len() {
        let len = u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap()) as usize;
        parts.push(bytes[at + 4..at + 4 + len].to_vec());
        at += 4 + len;
    }
    parts
}

fn checksum(bytes: &[u8]) -> u32 {
    bytes
        .iter()
        .fold(2166136261u32, |h, b| (h ^ *b as u32).wrapping_mul(16777619))
}

fn new_doc() -> Doc {
    Doc::with_options(yrs::Options {
        client_id: yrs::block::ClientID::new(1),
        offset_kind: yrs::OffsetKind::Utf16,
        ..Default::default()
    })
}

fn apply(parts: &[Vec<u8>], v2: bool) -> Doc {
    let doc = new_doc();
    for part in parts {
        let update = if v2 {
            Update::decode_v2(part)
        } else {
            Update::decode_v1(part)
        };
        doc.transact_mut()
            .apply_update(update.expect("an update"))
            .expect("applied");
    }
    doc
}

fn text_of(doc: &Doc) -> Vec<u8> {
    let text = doc.get_or_insert_text("text");
    let txn = doc.transact();
    text.get_string(&txn).into_bytes()
}

fn edit(parts: &[Vec<u8>]) -> Vec<u8> {
    let doc = new_doc();
    let text = doc.get_or_insert_text("text");
    let mut total = 0;
    for part in parts {
        let position = u32::from_le_bytes(part[0..4].try_into().unwrap());
        let deleted = u32::from_le_bytes(part[4..8].try_into().unwrap());
        let inserted = std::str::from_utf8(&part[8..]).unwrap();
        let mut txn = doc.transact_mut();
        if deleted > 0 {
            text.remove_range(&mut txn, position, deleted);
        }
        if !inserted.is_empty() {
            text.insert(&mut txn, position, inserted);
        }
        total += txn.encode_update_v1().len();
    }
    assert!(total > 0);
    text_of(&doc)
}

fn main() {
    let args: Vec<String> = std::env::args().collect();
    let (name, runs, path) = (&args[1], args[2].parse::<usize>().unwrap(), &args[3]);
    let parts = read_parts(path);
    let mut best = u128::MAX;
    let mut result = Vec::new();
    for _ in 0..runs {
        let prepared = name.starts_with("encode").then(|| apply(&parts, false));
        let started = Instant::now();
        result = match name.as_str() {
            "apply-v1" => text_of(&apply(&parts, false)),
            "apply-v2" => text_of(&apply(&parts, true)),
            "encode-v1" => {
                let doc = prepared.as_ref().unwrap();
                let txn = doc.transact();
                txn.encode_state_as_update_v1(&StateVector::default())
            }
            "encode-v2" => {
                let doc = prepared.as_ref().unwrap();
                let txn = doc.transact();
                txn.encode_state_as_update_v2(&StateVector::default())
            }
            "merge" => yrs::merge_updates_v1(&parts).expect("merged"),
            "state-vector" => yrs::encode_state_vector_from_update_v1(&parts[0]).expect("vector"),
            "diff" => yrs::diff_updates_v1(&parts[0], &parts[1]).expect("diff"),
            "edit" => edit(&parts),
            _ => panic!("no work '{}'", name),
        };
        best = best.min(started.elapsed().as_nanos());
    }
    println!("{} {} {} {:08x} 0 0", name, best, result.len(), checksum(&result));
}
