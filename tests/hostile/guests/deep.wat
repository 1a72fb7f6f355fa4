;; export plenum:plugin/actions@0.1.0;
;; Calls itself without end.
(module
  PRELUDE
  (func $deeper (param i32) (result i32) (i32.add (i32.const 1) (call $deeper (i32.add (local.get 0) (i32.const 1)))))
  (func (export "plenum:plugin/actions@0.1.0#call") (param $name i32) (param $length i32) (param $input i32) (param $size i32) (result i32)
    (call $deeper (i32.const 0))))
