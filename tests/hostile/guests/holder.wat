;; import wasi:http/types@0.2.3; export plenum:plugin/actions@0.1.0;
;; Fails with a thousand resources of the host in its hands.
(module
  (import "wasi:http/types@0.2.3" "[constructor]fields" (func $fields (result i32)))
  (import "wasi:http/types@0.2.3" "[constructor]outgoing-response" (func $response (param i32) (result i32)))
  (import "wasi:http/types@0.2.3" "[method]outgoing-response.body" (func $body (param i32 i32)))
  (import "wasi:http/types@0.2.3" "[method]outgoing-body.write" (func $write (param i32 i32)))
  PRELUDE
  (func (export "plenum:plugin/actions@0.1.0#call") (param $name i32) (param $length i32) (param $input i32) (param $size i32) (result i32)
    (local $i i32)
    (loop $l
      (call $body (call $response (call $fields)) (i32.const 1200))
      (call $write (i32.load (i32.const 1204)) (i32.const 1300))
      (local.set $i (i32.add (local.get $i) (i32.const 1)))
      (br_if $l (i32.lt_u (local.get $i) (i32.const 250))))
    (unreachable)))
