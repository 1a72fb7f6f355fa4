//! The page's texts: what is shown in English is there in Chinese too.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

use std::collections::BTreeSet;

fn sources() -> Vec<(String, String)> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/web");
    let names = std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap());
    names.filter(|n| n.ends_with(".js")).map(|n| (n.clone(), std::fs::read_to_string(format!("{folder}/{n}")).unwrap())).collect()
}

/// The texts of `t('...')`, and of nothing else whose name ends so.
fn shown(text: &str) -> BTreeSet<String> {
    let at = |(i, _)| Some((i, text[..i].chars().next_back()?));
    let calls = text.match_indices("t('").filter_map(at).filter(|(_, before)| !before.is_alphanumeric() && *before != '.');
    calls.filter_map(|(i, _)| Some(text[i + 3..].split_once('\'')?.0.to_owned())).collect()
}

#[test]
fn every_text_of_the_page_is_there_in_chinese() {
    let sources = sources();
    let table = &sources.iter().find(|(name, _)| name == "i18n.js").unwrap().1;
    let zh = table.split_once("const zh = {").unwrap().1.split_once("\n};").unwrap().0;
    let known: BTreeSet<String> = zh.split("': '").filter_map(|part| Some(part.rsplit_once('\'')?.1.to_owned())).collect();
    let mut missing = Vec::new();
    for (name, text) in sources.iter().filter(|(name, _)| name != "i18n.js") {
        missing.extend(shown(text).difference(&known).map(|text| format!("{name}: {text}")));
    }
    assert!(missing.is_empty(), "{missing:#?}");
    assert!(known.len() > 150, "the table was read: {}", known.len());
}
