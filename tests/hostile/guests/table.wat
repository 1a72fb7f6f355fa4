;; export plenum:plugin/actions@0.1.0;
;; Makes its table larger and larger.
(module
  PRELUDE
  (table $t 1 funcref)
  (func (export "plenum:plugin/actions@0.1.0#call") (param $name i32) (param $length i32) (param $input i32) (param $size i32) (result i32)
    (loop $l (br_if $l (i32.ne (table.grow $t (ref.null func) (i32.const 4096)) (i32.const -1))))
    (unreachable)))
