;; import plenum:plugin/calls@0.1.0; export plenum:plugin/actions@0.1.0;
;; Calls the action go of the plugin that its input names, with the same input.
(module
  (import "plenum:plugin/calls@0.1.0" "call" (func $call (param i32 i32 i32 i32 i32 i32 i32)))
  PRELUDE
  (data (i32.const 16) "go")
  (func (export "plenum:plugin/actions@0.1.0#call") (param $name i32) (param $length i32) (param $input i32) (param $size i32) (result i32)
    (call $call (i32.add (local.get $input) (i32.const 1)) (i32.sub (local.get $size) (i32.const 2))
      (i32.const 16) (i32.const 2) (local.get $input) (local.get $size) (i32.const 1024))
    (i32.const 1024)))
