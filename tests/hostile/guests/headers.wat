;; import wasi:http/types@0.2.3; export plenum:plugin/actions@0.1.0;
;; Appends headers of 4 KiB without end.
(module
  (import "wasi:http/types@0.2.3" "[constructor]fields" (func $fields (result i32)))
  (import "wasi:http/types@0.2.3" "[method]fields.append" (func $append (param i32 i32 i32 i32 i32 i32)))
  PRELUDE
  (data (i32.const 16) "x-large")
  (func (export "plenum:plugin/actions@0.1.0#call") (param $name i32) (param $length i32) (param $input i32) (param $size i32) (result i32)
    (local $f i32)
    (local.set $f (call $fields))
    (memory.fill (i32.const 4096) (i32.const 97) (i32.const 4096))
    (loop $l
      (call $append (local.get $f) (i32.const 16) (i32.const 7) (i32.const 4096) (i32.const 4096) (i32.const 1100))
      (br_if $l (i32.eqz (i32.load8_u (i32.const 1100)))))
    (unreachable)))
