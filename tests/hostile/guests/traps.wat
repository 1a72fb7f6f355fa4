;; export plenum:plugin/actions@0.1.0; export plenum:plugin/events@0.1.0; export plenum:plugin/lifecycle@0.1.0; export wasi:http/incoming-handler@0.2.3;
;; Fails in whatever is asked of it, once it is installed.
(module
  PRELUDE
  (func (export "plenum:plugin/actions@0.1.0#call") (param $name i32) (param $length i32) (param $input i32) (param $size i32) (result i32) (unreachable))
  (func (export "plenum:plugin/events@0.1.0#handle") (param i32 i32) (result i32) (unreachable))
  (func (export "wasi:http/incoming-handler@0.2.3#handle") (param i32 i32) (unreachable))
  (func (export "plenum:plugin/lifecycle@0.1.0#install") (result i32) (call $ok (i32.const 0) (i32.const 0)))
  (func (export "plenum:plugin/lifecycle@0.1.0#upgrade") (param i32 i32) (result i32) (unreachable))
  (func (export "plenum:plugin/lifecycle@0.1.0#uninstall") (result i32) (unreachable)))
