;; import plenum:store/documents@0.1.0; export plenum:plugin/actions@0.1.0;
;; Reads a record of the collection that its input names.
(module
  (import "plenum:store/documents@0.1.0" "get" (func $get (param i32 i32 i32 i32 i32)))
  PRELUDE
  (data (i32.const 16) "secret")
  (data (i32.const 32) "\"read\"")
  (data (i32.const 48) "\"nothing\"")
  (func (export "plenum:plugin/actions@0.1.0#call") (param $name i32) (param $length i32) (param $input i32) (param $size i32) (result i32)
    (call $get (i32.add (local.get $input) (i32.const 1)) (i32.sub (local.get $size) (i32.const 2)) (i32.const 16) (i32.const 6) (i32.const 2048))
    (if (i32.load8_u (i32.const 2048)) (then
      (i32.store (i32.const 1024) (i32.const 1))
      (memory.copy (i32.const 1028) (i32.const 2056) (i32.const 20))
      (return (i32.const 1024))))
    (if (i32.load8_u (i32.const 2056)) (then (return (call $ok (i32.const 32) (i32.const 6)))))
    (call $ok (i32.const 48) (i32.const 9))))
