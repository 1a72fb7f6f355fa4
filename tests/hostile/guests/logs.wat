;; import plenum:log/log@0.1.0; export plenum:plugin/actions@0.1.0;
;; Writes 50,000 lines to its log.
(module
  (import "plenum:log/log@0.1.0" "write" (func $log (param i32 i32 i32 i32 i32)))
  PRELUDE
  (data (i32.const 16) "flood")
  (func (export "plenum:plugin/actions@0.1.0#call") (param $name i32) (param $length i32) (param $input i32) (param $size i32) (result i32)
    (local $i i32)
    (loop $l
      (call $log (i32.const 1) (i32.const 16) (i32.const 5) (i32.const 0) (i32.const 0))
      (local.set $i (i32.add (local.get $i) (i32.const 1)))
      (br_if $l (i32.lt_u (local.get $i) (i32.const 50000))))
    (call $ok (local.get $input) (local.get $size))))
