;; import plenum:store/documents@0.1.0; export plenum:plugin/actions@0.1.0;
;; Writes one record of 2 MiB: {"t":"aaa..."}
(module
  (import "plenum:store/documents@0.1.0" "apply" (func $apply (param i32 i32 i32)))
  PRELUDE
  (data (i32.const 16) "things")
  (data (i32.const 32) "large")
  (data (i32.const 65536) "{\"t\":\"")
  (func (export "plenum:plugin/actions@0.1.0#call") (param $name i32) (param $length i32) (param $input i32) (param $size i32) (result i32)
    (drop (memory.grow (i32.const 40)))
    (memory.fill (i32.const 65542) (i32.const 97) (i32.const 2097152))
    (i32.store16 (i32.const 2162694) (i32.const 0x7d22))
    (i32.store (i32.const 2048) (i32.const 16))
    (i32.store (i32.const 2052) (i32.const 6))
    (i32.store (i32.const 2056) (i32.const 32))
    (i32.store (i32.const 2060) (i32.const 5))
    (i32.store (i32.const 2064) (i32.const 1))
    (i32.store (i32.const 2068) (i32.const 65536))
    (i32.store (i32.const 2072) (i32.const 2097160))
    (call $apply (i32.const 2048) (i32.const 1) (i32.const 1024))
    (i32.const 1024)))
