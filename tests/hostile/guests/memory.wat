;; export plenum:plugin/actions@0.1.0;
;; Takes one MiB after the other.
(module
  PRELUDE
  (func (export "plenum:plugin/actions@0.1.0#call") (param $name i32) (param $length i32) (param $input i32) (param $size i32) (result i32)
    (loop $l (br_if $l (i32.ne (memory.grow (i32.const 16)) (i32.const -1))))
    (unreachable)))
