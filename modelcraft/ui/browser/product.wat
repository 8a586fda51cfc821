;; out (rows,) = weights (rows, cols) times x (cols,): the weights in bfloat16, all else in float32; cols is a multiple
;; of 16. A bfloat16 becomes a float32 by a shift to the left. Four sums of four numbers each are kept apart, so that no
;; addition waits for the one before it.
(module
  (memory (import "m" "memory") 1)
  (func (export "product")
    (param $weights i32) (param $x i32) (param $out i32) (param $rows i32) (param $cols i32)
    (local $row i32) (local $at i32) (local $end i32)
    (local $a v128) (local $b v128) (local $c v128) (local $d v128) (local $first v128) (local $second v128)
    (local.set $end (i32.shl (local.get $cols) (i32.const 2)))
    (loop $each_row
      (local.set $a (v128.const f32x4 0 0 0 0))
      (local.set $b (local.get $a))
      (local.set $c (local.get $a))
      (local.set $d (local.get $a))
      (local.set $at (i32.const 0))
      (loop $each_sixteen
        (local.set $first (v128.load (local.get $weights)))
        (local.set $second (v128.load offset=16 (local.get $weights)))
        (local.set $a (f32x4.add (local.get $a) (f32x4.mul
          (i32x4.shl (i32x4.extend_low_i16x8_u (local.get $first)) (i32.const 16))
          (v128.load (i32.add (local.get $x) (local.get $at))))))
        (local.set $b (f32x4.add (local.get $b) (f32x4.mul
          (i32x4.shl (i32x4.extend_high_i16x8_u (local.get $first)) (i32.const 16))
          (v128.load offset=16 (i32.add (local.get $x) (local.get $at))))))
        (local.set $c (f32x4.add (local.get $c) (f32x4.mul
          (i32x4.shl (i32x4.extend_low_i16x8_u (local.get $second)) (i32.const 16))
          (v128.load offset=32 (i32.add (local.get $x) (local.get $at))))))
        (local.set $d (f32x4.add (local.get $d) (f32x4.mul
          (i32x4.shl (i32x4.extend_high_i16x8_u (local.get $second)) (i32.const 16))
          (v128.load offset=48 (i32.add (local.get $x) (local.get $at))))))
        (local.set $weights (i32.add (local.get $weights) (i32.const 32)))
        (local.set $at (i32.add (local.get $at) (i32.const 64)))
        (br_if $each_sixteen (i32.lt_u (local.get $at) (local.get $end))))
      (local.set $a (f32x4.add (f32x4.add (local.get $a) (local.get $b)) (f32x4.add (local.get $c) (local.get $d))))
      (f32.store (local.get $out) (f32.add
        (f32.add (f32x4.extract_lane 0 (local.get $a)) (f32x4.extract_lane 1 (local.get $a)))
        (f32.add (f32x4.extract_lane 2 (local.get $a)) (f32x4.extract_lane 3 (local.get $a)))))
      (local.set $out (i32.add (local.get $out) (i32.const 4)))
      (local.set $row (i32.add (local.get $row) (i32.const 1)))
      (br_if $each_row (i32.lt_u (local.get $row) (local.get $rows))))))
