;; import plenum:events/publisher@0.1.0; export plenum:plugin/actions@0.1.0;
;; Publishes an event of the type that its input names.
(module
  (import "plenum:events/publisher@0.1.0" "publish" (func $publish (param i32 i32 i32 i32 i32 i32 i32)))
  PRELUDE
  (data (i32.const 16) "{}")
  (func (export "plenum:plugin/actions@0.1.0#call") (param $name i32) (param $length i32) (param $input i32) (param $size i32) (result i32)
    (call $publish (i32.add (local.get $input) (i32.const 1)) (i32.sub (local.get $size) (i32.const 2))
      (i32.const 16) (i32.const 0) (i32.const 16) (i32.const 2) (i32.const 1024))
    (if (i32.load8_u (i32.const 1024)) (then (return (i32.const 1024))))
    (call $ok (i32.const 16) (i32.const 2))))
