;; import wasi:http/outgoing-handler@0.2.3; export plenum:plugin/actions@0.1.0;
;; Sends a request to the authority that its input names, and waits for the answer.
(module
  (import "wasi:http/types@0.2.3" "[constructor]fields" (func $fields (result i32)))
  (import "wasi:http/types@0.2.3" "[constructor]outgoing-request" (func $request (param i32) (result i32)))
  (import "wasi:http/types@0.2.3" "[method]outgoing-request.set-scheme" (func $scheme (param i32 i32 i32 i32 i32) (result i32)))
  (import "wasi:http/types@0.2.3" "[method]outgoing-request.set-path-with-query" (func $path (param i32 i32 i32 i32) (result i32)))
  (import "wasi:http/types@0.2.3" "[method]outgoing-request.set-authority" (func $authority (param i32 i32 i32 i32) (result i32)))
  (import "wasi:http/types@0.2.3" "[method]future-incoming-response.subscribe" (func $subscribe (param i32) (result i32)))
  (import "wasi:http/outgoing-handler@0.2.3" "handle" (func $handle (param i32 i32 i32 i32)))
  (import "wasi:io/poll@0.2.3" "[method]pollable.block" (func $block (param i32)))
  PRELUDE
  (data (i32.const 16) "/")
  (func (export "plenum:plugin/actions@0.1.0#call") (param $name i32) (param $length i32) (param $input i32) (param $size i32) (result i32)
    (local $r i32)
    (local.set $r (call $request (call $fields)))
    (drop (call $scheme (local.get $r) (i32.const 1) (i32.const 0) (i32.const 0) (i32.const 0)))
    (drop (call $path (local.get $r) (i32.const 1) (i32.const 16) (i32.const 1)))
    (drop (call $authority (local.get $r) (i32.const 1) (i32.add (local.get $input) (i32.const 1)) (i32.sub (local.get $size) (i32.const 2))))
    (call $handle (local.get $r) (i32.const 0) (i32.const 0) (i32.const 2048))
    (if (i32.eqz (i32.load8_u (i32.const 2048))) (then (call $block (call $subscribe (i32.load (i32.const 2056))))))
    (call $ok (local.get $input) (local.get $size))))
