;; import plenum:log/log@0.1.0; export plenum:plugin/actions@0.1.0;
;; Hands the host one text of 40 MiB.
(module
  (import "plenum:log/log@0.1.0" "write" (func $log (param i32 i32 i32 i32 i32)))
  PRELUDE
  (func (export "plenum:plugin/actions@0.1.0#call") (param $name i32) (param $length i32) (param $input i32) (param $size i32) (result i32)
    (drop (memory.grow (i32.const 700)))
    (memory.fill (i32.const 0) (i32.const 97) (i32.const 41943040))
    (call $log (i32.const 1) (i32.const 0) (i32.const 41943040) (i32.const 0) (i32.const 0))
    (unreachable)))
