;; import wasi:random/random@0.2.3; export plenum:plugin/actions@0.1.0;
;; Asks for a gigabyte of random numbers.
(module
  (import "wasi:random/random@0.2.3" "get-random-bytes" (func $random (param i64 i32)))
  PRELUDE
  (func (export "plenum:plugin/actions@0.1.0#call") (param $name i32) (param $length i32) (param $input i32) (param $size i32) (result i32)
    (call $random (i64.const 1073741824) (i32.const 1100))
    (unreachable)))
