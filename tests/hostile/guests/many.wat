;; import wasi:http/types@0.2.3; export plenum:plugin/actions@0.1.0;
;; Appends empty headers without end, each of another name.
(module
  (import "wasi:http/types@0.2.3" "[constructor]fields" (func $fields (result i32)))
  (import "wasi:http/types@0.2.3" "[method]fields.append" (func $append (param i32 i32 i32 i32 i32 i32)))
  PRELUDE
  (data (i32.const 16) "x-aaaa")
  (func (export "plenum:plugin/actions@0.1.0#call") (param $name i32) (param $length i32) (param $input i32) (param $size i32) (result i32)
    (local $f i32) (local $i i32)
    (local.set $f (call $fields))
    (loop $l
      (i32.store8 (i32.const 18) (i32.add (i32.const 97) (i32.rem_u (local.get $i) (i32.const 26))))
      (i32.store8 (i32.const 19) (i32.add (i32.const 97) (i32.rem_u (i32.div_u (local.get $i) (i32.const 26)) (i32.const 26))))
      (i32.store8 (i32.const 20) (i32.add (i32.const 97) (i32.rem_u (i32.div_u (local.get $i) (i32.const 676)) (i32.const 26))))
      (local.set $i (i32.add (local.get $i) (i32.const 1)))
      (call $append (local.get $f) (i32.const 16) (i32.const 6) (i32.const 0) (i32.const 0) (i32.const 1100))
      (br_if $l (i32.eqz (i32.load8_u (i32.const 1100)))))
    (unreachable)))
