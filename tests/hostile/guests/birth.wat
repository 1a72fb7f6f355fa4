;; export plenum:plugin/actions@0.1.0; export plenum:plugin/lifecycle@0.1.0;
;; Fails when it is installed.
(module
  PRELUDE
  (func (export "plenum:plugin/actions@0.1.0#call") (param $name i32) (param $length i32) (param $input i32) (param $size i32) (result i32) (unreachable))
  (func (export "plenum:plugin/lifecycle@0.1.0#install") (result i32) (unreachable))
  (func (export "plenum:plugin/lifecycle@0.1.0#upgrade") (param i32 i32) (result i32) (unreachable))
  (func (export "plenum:plugin/lifecycle@0.1.0#uninstall") (result i32) (unreachable)))
