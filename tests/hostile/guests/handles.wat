;; import wasi:http/types@0.2.3; export plenum:plugin/actions@0.1.0;
;; Opens resources of the host and never drops one.
(module
  (import "wasi:http/types@0.2.3" "[constructor]fields" (func $fields (result i32)))
  PRELUDE
  (func (export "plenum:plugin/actions@0.1.0#call") (param $name i32) (param $length i32) (param $input i32) (param $size i32) (result i32)
    (loop $l (drop (call $fields)) (br $l))
    (unreachable)))
