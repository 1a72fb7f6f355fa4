;; export plenum:plugin/actions@0.1.0;
;; Spins before anything was asked of it: in its start function.
(module
  PRELUDE
  (func $spin (loop $l (br $l)))
  (start $spin)
  (func (export "plenum:plugin/actions@0.1.0#call") (param $name i32) (param $length i32) (param $input i32) (param $size i32) (result i32)
    (unreachable)))
