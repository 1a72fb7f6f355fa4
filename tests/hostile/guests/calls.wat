;; import plenum:plugin/context@0.1.0; export plenum:plugin/actions@0.1.0;
;; Asks the host for its settings, again and again.
(module
  (import "plenum:plugin/context@0.1.0" "settings" (func $settings (param i32)))
  PRELUDE
  (func (export "plenum:plugin/actions@0.1.0#call") (param $name i32) (param $length i32) (param $input i32) (param $size i32) (result i32)
    (loop $l
      (global.set $top (i32.const 16384))
      (call $settings (i32.const 2048))
      (br $l))
    (unreachable)))
