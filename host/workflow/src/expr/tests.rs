#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
use super::*;
use serde_json::json;

#[test]
fn evaluates_with_variables() {
    let jq = Jq::new();
    let eval = |s: &str, i: Value| jq.eval(s, &i, &[("context", &json!({"n": 2})), ("item", &json!("x"))]);
    assert_eq!(eval(".a + $context.n", json!({"a": 1})), Ok(json!(3)));
    assert_eq!(eval("{a: [.[] | . * 2], i: $item}", json!([1, 2])), Ok(json!({"a": [2, 4], "i": "x"})));
    assert_eq!(eval(".nope.deep // \"none\"", json!({})), Ok(json!("none")));
    assert_eq!(eval("[.[] | select(.ok)] | length", json!([{"ok": true}, {"ok": false}])), Ok(json!(1)));
    assert_eq!(eval("to_entries | map(.key) | join(\",\")", json!({"a": 1, "b": 2})), Ok(json!("a,b")));
    assert_eq!(
        eval(".a.b |= . + 1 | del(.c) | .d[1:] = [9]", json!({"a": {"b": 1}, "c": 2, "d": [1, 2, 3]})),
        Ok(json!({"a": {"b": 2}, "d": [1, 9]}))
    );
    assert_eq!(eval("[paths]", json!({"a": [1]})), Ok(json!([["a"], ["a", 0]])));
    assert_eq!(eval("reduce range(10) as $i (0; . + $i)", json!(null)), Ok(json!(45)));
    assert_eq!(eval("[limit(3; repeat(1))]", json!(null)), Ok(json!([1, 1, 1])));
    assert_eq!(eval("\"a\" * 3", json!(null)), Ok(json!("aaa")));
    assert_eq!(eval("[.[] | tostring] | sort | first", json!([3, 1, 2])), Ok(json!("1")));
    assert_eq!(eval("walk(if type == \"number\" then . + 1 else . end)", json!([1, {"a": 2}])), Ok(json!([2, {"a": 3}])));
    assert_eq!(eval("\"v=\\(.a)\"", json!({"a": [1]})), Ok(json!("v=[1]")));
    assert_eq!(eval("test(\"^ab\")", json!("abc")), Ok(json!(true)));
    assert_eq!(eval("(18446744073709551615 | tostring)", json!(null)), Ok(json!("18446744073709551615")));
}

#[test]
fn wrong_expressions_say_where() {
    let jq = Jq::new();
    assert!(matches!(jq.check(".a | ", &[]), Err(ExprError::Syntax { .. })));
    let e = jq.check(".a | nope(1)", &[]).unwrap_err();
    assert!(matches!(&e, ExprError::Syntax { position: 5, .. }), "{e}");
    assert!(jq.check("$item", &[]).is_err());
    assert!(jq.check("$item", &["item"]).is_ok());
    assert!(matches!(jq.eval(".a.b", &json!({"a": 1}), &[]), Err(ExprError::Failed(_))));
    assert!(matches!(jq.eval("empty", &json!(1), &[]), Err(ExprError::Failed(_))));
    assert!(matches!(jq.eval("error(\"boom\")", &json!(1), &[]), Err(ExprError::Failed(m)) if m == "boom"));
}

#[test]
fn nothing_reaches_outside() {
    let jq = Jq::new();
    for e in ["halt", "env", "$ENV", "input", "[inputs]", "debug", "halt_error", "import \"a\" as a; 1", "include \"a\"; 1"] {
        assert!(jq.eval(e, &json!(null), &[]).is_err(), "{e}");
    }
}

#[test]
fn bombs_end() {
    let jq = Jq::new();
    for bomb in [
        "[range(1000000000000)]",
        "last(range(1000000000000))",
        "[repeat(1)]",
        "def f: f; f",
        "def f: 1 + f; f",
        "def f: try f catch f; f",
        "reduce range(100) as $i (\"x\"; . + .)",
        "reduce range(100) as $i (1; [., .])",
        "reduce range(100) as $i (1; [., .]) | tojson",
        "reduce range(100) as $i (1; [., .]) as $x | $x == ($x | map(.))",
        "reduce range(10000000) as $i (1; [.])",
        "\"x\" * 10000000000",
        "reduce range(100) as $i (3; . * .)",
        "first(range(1000000000000) | select(false))",
        "until(false; . + 1)",
        "[recurse(. + 1)]",
        "isempty(range(1000000000000) | empty)",
        "[limit(1000000000; repeat(\"abc\"))]",
        "\"x\" | . *= 10000000000",
    ] {
        let begun = Instant::now();
        let r = jq.eval(bomb, &json!(0), &[]);
        assert!(r.is_err(), "{bomb}: {:?}", r.map(|v| v.to_string().len()));
        assert!(begun.elapsed() < Duration::from_secs(10), "{bomb} took {:?}", begun.elapsed());
    }
    assert_eq!(jq.0.lost.load(Ordering::Relaxed), 0, "every bomb ended by itself");
    assert_eq!(jq.eval("1 + 1", &json!(0), &[]), Ok(json!(2)));
}
