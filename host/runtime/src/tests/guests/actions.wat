;; One guest for many behaviours: the first letter of the action's name chooses. A result<string, error> is 24 bytes:
;; tag, then text (pointer, length), or code (pointer, length), message (pointer, length), status.
(module
  (import "plenum:log/log@0.1.0" "write" (func $log (param i32 i32 i32 i32 i32)))
  (import "plenum:plugin/context@0.1.0" "settings" (func $settings (param i32)))
  (import "wasi:clocks/monotonic-clock@0.2.3" "subscribe-duration" (func $in (param i64) (result i32)))
  (import "wasi:io/poll@0.2.3" "[method]pollable.block" (func $block (param i32)))
  (import "wasi:io/poll@0.2.3" "[resource-drop]pollable" (func $drop (param i32)))
  (memory (export "memory") 4)
  (global $top (mut i32) (i32.const 8192))
  (global $calls (mut i32) (i32.const 48))
  (data (i32.const 16) "test.refused")
  (data (i32.const 32) "not like this")
  (data (i32.const 48) "not json")
  (data (i32.const 64) "handled")
  (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32)
    (local $p i32)
    (local.set $p (i32.and (i32.add (global.get $top) (i32.const 7)) (i32.const -8)))
    (global.set $top (i32.add (local.get $p) (local.get 3)))
    (local.get $p))
  (func $ok (param $p i32) (param $n i32) (result i32)
    (i32.store (i32.const 1024) (i32.const 0))
    (i32.store (i32.const 1028) (local.get $p))
    (i32.store (i32.const 1032) (local.get $n))
    (i32.const 1024))
  (func $wait (param $ns i64)
    (local $p i32)
    (local.set $p (call $in (local.get $ns)))
    (call $block (local.get $p))
    (call $drop (local.get $p)))
  (func $deeper (param i32) (result i32)
    (i32.add (i32.const 1) (call $deeper (i32.add (local.get 0) (i32.const 1)))))
  (func (export "plenum:plugin/actions@0.1.0#call") (param $name i32) (param i32) (param $input i32) (param $size i32) (result i32)
    (local $first i32) (local $i i32)
    (local.set $first (i32.load8_u (local.get $name)))
    ;; echo
    (if (i32.eq (local.get $first) (i32.const 101)) (then (return (call $ok (local.get $input) (local.get $size)))))
    ;; loop
    (if (i32.eq (local.get $first) (i32.const 108)) (then (loop $l (br $l))))
    ;; memory: takes 1 MiB after the other, until it gets no more
    (if (i32.eq (local.get $first) (i32.const 109)) (then
      (loop $l (br_if $l (i32.ne (memory.grow (i32.const 16)) (i32.const -1))))
      (unreachable)))
    ;; trap
    (if (i32.eq (local.get $first) (i32.const 116)) (then (unreachable)))
    ;; deep recursion
    (if (i32.eq (local.get $first) (i32.const 100)) (then (return (call $deeper (i32.const 0)))))
    ;; wait a minute in a call of the host
    (if (i32.eq (local.get $first) (i32.const 119)) (then (call $wait (i64.const 60000000000))))
    ;; pause 40 times for 15 ms
    (if (i32.eq (local.get $first) (i32.const 112)) (then
      (loop $l
        (call $wait (i64.const 15000000))
        (local.set $i (i32.add (local.get $i) (i32.const 1)))
        (br_if $l (i32.lt_u (local.get $i) (i32.const 40))))
      (return (call $ok (local.get $input) (local.get $size)))))
    ;; count: the digit of the calls that this instance has seen
    (if (i32.eq (local.get $first) (i32.const 99)) (then
      (global.set $calls (i32.add (global.get $calls) (i32.const 1)))
      (i32.store8 (i32.const 4096) (global.get $calls))
      (return (call $ok (i32.const 4096) (i32.const 1)))))
    ;; flood of log lines
    (if (i32.eq (local.get $first) (i32.const 102)) (then
      (loop $l
        (call $log (i32.const 1) (i32.const 64) (i32.const 7) (i32.const 0) (i32.const 0))
        (local.set $i (i32.add (local.get $i) (i32.const 1)))
        (br_if $l (i32.lt_u (local.get $i) (i32.const 3000))))
      (return (call $ok (local.get $input) (local.get $size)))))
    ;; no JSON
    (if (i32.eq (local.get $first) (i32.const 110)) (then (return (call $ok (i32.const 48) (i32.const 8)))))
    ;; settings
    (if (i32.eq (local.get $first) (i32.const 115)) (then
      (call $settings (i32.const 2048))
      (return (call $ok (i32.load (i32.const 2048)) (i32.load (i32.const 2052))))))
    ;; an error of its own
    (i32.store (i32.const 1024) (i32.const 1))
    (i32.store (i32.const 1028) (i32.const 16))
    (i32.store (i32.const 1032) (i32.const 12))
    (i32.store (i32.const 1036) (i32.const 32))
    (i32.store (i32.const 1040) (i32.const 13))
    (i32.store16 (i32.const 1044) (i32.const 409))
    (i32.const 1024))
  ;; writes a line to its log, with the event
  (func (export "plenum:plugin/events@0.1.0#handle") (param $event i32) (param $size i32) (result i32)
    (call $log (i32.const 1) (i32.const 64) (i32.const 7) (local.get $event) (local.get $size))
    (call $ok (i32.const 0) (i32.const 0)))
  ;; writes a line named like the schedule
  (func (export "plenum:plugin/schedule@0.1.0#fire") (param $id i32) (param $size i32) (param i64) (result i32)
    (call $log (i32.const 1) (local.get $id) (local.get $size) (i32.const 0) (i32.const 0))
    (call $ok (i32.const 0) (i32.const 0)))
  (func (export "plenum:plugin/lifecycle@0.1.0#install") (result i32) (call $ok (i32.const 0) (i32.const 0)))
  (func (export "plenum:plugin/lifecycle@0.1.0#upgrade") (param i32 i32) (result i32) (call $ok (i32.const 0) (i32.const 0)))
  (func (export "plenum:plugin/lifecycle@0.1.0#uninstall") (result i32) (unreachable))
)
