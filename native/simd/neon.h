// Vectors of NEON with the dot-product extension: 4 lanes. Included inside a namespace.

constexpr int kLanes = 4;
constexpr int kRows = 5;
constexpr int kVectors = 4;

struct F {
    float32x4_t v;
};
struct I {
    int32x4_t v;
};
using Mask = uint32x4_t;

inline F set(float x) { return {vdupq_n_f32(x)}; }
inline F load(const float* p) { return {vld1q_f32(p)}; }
inline void store(float* p, F x) { vst1q_f32(p, x.v); }
inline F operator+(F a, F b) { return {vaddq_f32(a.v, b.v)}; }
inline F operator-(F a, F b) { return {vsubq_f32(a.v, b.v)}; }
inline F operator*(F a, F b) { return {vmulq_f32(a.v, b.v)}; }
inline F operator/(F a, F b) { return {vdivq_f32(a.v, b.v)}; }
inline F min(F a, F b) { return {vminq_f32(a.v, b.v)}; }
inline F max(F a, F b) { return {vmaxq_f32(a.v, b.v)}; }
inline F abs(F a) { return {vabsq_f32(a.v)}; }
inline F rint(F a) { return {vrndnq_f32(a.v)}; }
inline float max_lane(F a) { return vmaxvq_f32(a.v); }

inline I set_int(std::int32_t x) { return {vdupq_n_s32(x)}; }
inline I load_int(const std::int32_t* p) { return {vld1q_s32(p)}; }
inline void store_int(std::int32_t* p, I x) { vst1q_s32(p, x.v); }
inline I operator+(I a, I b) { return {vaddq_s32(a.v, b.v)}; }
inline I operator-(I a, I b) { return {vsubq_s32(a.v, b.v)}; }
inline I min(I a, I b) { return {vminq_s32(a.v, b.v)}; }
template <int kBits>
inline I shift_left(I a) {
    return {vshlq_n_s32(a.v, kBits)};
}
template <int kBits>
inline I shift_right(I a) {
    return {vreinterpretq_s32_u32(vshrq_n_u32(vreinterpretq_u32_s32(a.v), kBits))};
}
inline I bit_and(I a, I b) { return {vandq_s32(a.v, b.v)}; }
inline std::int64_t sum_lanes(I a) { return vaddlvq_s32(a.v); }

inline I to_int(F a) { return {vcvtnq_s32_f32(a.v)}; }
inline F to_float(I a) { return {vcvtq_f32_s32(a.v)}; }
inline I bits_of(F a) { return {vreinterpretq_s32_f32(a.v)}; }
inline F from_bits(I a) { return {vreinterpretq_f32_s32(a.v)}; }
inline void store_low_bytes(void* p, I x) {
    const uint16x4_t half = vmovn_u32(vreinterpretq_u32_s32(x.v));
    const uint8x8_t bytes = vmovn_u16(vcombine_u16(half, half));
    const std::uint32_t four = vget_lane_u32(vreinterpret_u32_u8(bytes), 0);
    std::memcpy(p, &four, 4);
}
inline I load_u8(const std::uint8_t* p) {
    const std::int32_t lanes[4] = {p[0], p[1], p[2], p[3]};
    return {vld1q_s32(lanes)};
}

inline Mask less_equal(I a, I b) { return vcleq_s32(a.v, b.v); }
inline Mask less(I a, I b) { return vcltq_s32(a.v, b.v); }
inline Mask both(Mask a, Mask b) { return vandq_u32(a, b); }
inline Mask either(Mask a, Mask b) { return vorrq_u32(a, b); }
inline F select(Mask m, F yes, F no) { return {vbslq_f32(m, yes.v, no.v)}; }

struct Squares {
    float64x2_t low, high;
    Squares() : low(vdupq_n_f64(0)), high(vdupq_n_f64(0)) {}
    void add(F x) {
        const float64x2_t a = vcvt_f64_f32(vget_low_f32(x.v)), b = vcvt_high_f64_f32(x.v);
        low = vaddq_f64(low, vmulq_f64(a, a));
        high = vaddq_f64(high, vmulq_f64(b, b));
    }
    double total() const { return vaddvq_f64(vaddq_f64(low, high)); }
};

template <int half>
inline F butterfly(F x) {
    static_assert(half < kLanes);
    float32x4_t other;
    if constexpr (half == 1) other = vrev64q_f32(x.v);
    if constexpr (half == 2) other = vextq_f32(x.v, x.v, 2);
    const std::uint32_t n = 0x80000000u;
    const std::uint32_t signs[4] = {0, half == 1 ? n : 0, half == 2 ? n : 0, n};
    const uint32x4_t flipped = veorq_u32(vreinterpretq_u32_f32(x.v), vld1q_u32(signs));
    return {vaddq_f32(other, vreinterpretq_f32_u32(flipped))};
}

inline I load_bytes(const void* p) { return load_int(static_cast<const std::int32_t*>(p)); }

// Both operands are signed here: stored weights (128 too large) are brought back by one XOR.
struct WeightDot {
    static constexpr bool kOffset = false;
    using A = int8x16_t;
    static A broadcast(const void* p) {
        std::int32_t four;
        std::memcpy(&four, p, 4);
        return vreinterpretq_s8_s32(vdupq_n_s32(four));
    }
    static I prepare(I b) { return {veorq_s32(b.v, vdupq_n_s32(static_cast<int>(0x80808080u)))}; }
    static I dot(I sum, A a, I b) { return {vdotq_s32(sum.v, vreinterpretq_s8_s32(b.v), a)}; }
};

struct ValueDot {
    static constexpr bool kOffset = false;
    using A = int8x16_t;
    static A broadcast(const void* p) { return WeightDot::broadcast(p); }
    static I prepare(I b) { return b; }
    static I dot(I sum, A a, I b) { return WeightDot::dot(sum, a, b); }
};
