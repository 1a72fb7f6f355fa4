;; export wasi:http/incoming-handler@0.2.3;
;; Answers with a body that does not end.
(module
  (import "wasi:http/types@0.2.3" "[constructor]fields" (func $fields (result i32)))
  (import "wasi:http/types@0.2.3" "[constructor]outgoing-response" (func $response (param i32) (result i32)))
  (import "wasi:http/types@0.2.3" "[method]outgoing-response.body" (func $body (param i32 i32)))
  (import "wasi:http/types@0.2.3" "[method]outgoing-body.write" (func $write (param i32 i32)))
  (import "wasi:http/types@0.2.3" "[static]response-outparam.set" (func $set (param i32 i32 i32 i32 i64 i32 i32 i32 i32)))
  (import "wasi:io/streams@0.2.3" "[method]output-stream.blocking-write-and-flush" (func $put (param i32 i32 i32 i32)))
  
  PRELUDE
  (func (export "wasi:http/incoming-handler@0.2.3#handle") (param $request i32) (param $out i32)
    (local $r i32) (local $s i32) (local $p i32)
    (local.set $r (call $response (call $fields)))
    (call $body (local.get $r) (i32.const 1200))
    (call $set (local.get $out) (i32.const 0) (local.get $r) (i32.const 0) (i64.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0))
    (call $write (i32.load (i32.const 1204)) (i32.const 1300))
    (local.set $s (i32.load (i32.const 1304)))
    (loop $l
      (call $put (local.get $s) (i32.const 4096) (i32.const 4096) (i32.const 1400))
      (br_if $l (i32.eqz (i32.load8_u (i32.const 1400)))))))
