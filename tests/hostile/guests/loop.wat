;; export plenum:plugin/actions@0.1.0;
;; Computes for ever.
(module
  PRELUDE
  (func (export "plenum:plugin/actions@0.1.0#call") (param $name i32) (param $length i32) (param $input i32) (param $size i32) (result i32)
    (loop $l (br $l))
    (unreachable)))
