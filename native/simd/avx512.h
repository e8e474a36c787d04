// Vectors of AVX-512: 16 lanes of binary32 or int32. Included inside an instruction set's namespace.

constexpr int kLanes = 16;
#ifdef LMZIP_AMX
constexpr int kRows = 4;  // the matrix unit does the rest
#else
constexpr int kRows = 12;    // rows of a product's tile: 12 x 2 accumulators of 32 registers
#endif
constexpr int kVectors = 2;  // vectors of columns in a product's tile

struct F {
    __m512 v;
};
struct I {
    __m512i v;
};
using Mask = __mmask16;

inline F set(float x) { return {_mm512_set1_ps(x)}; }
inline F load(const float* p) { return {_mm512_loadu_ps(p)}; }
inline void store(float* p, F x) { _mm512_storeu_ps(p, x.v); }
inline F operator+(F a, F b) { return {_mm512_add_ps(a.v, b.v)}; }
inline F operator-(F a, F b) { return {_mm512_sub_ps(a.v, b.v)}; }
inline F operator*(F a, F b) { return {_mm512_mul_ps(a.v, b.v)}; }
inline F operator/(F a, F b) { return {_mm512_div_ps(a.v, b.v)}; }
inline F min(F a, F b) { return {_mm512_min_ps(a.v, b.v)}; }
inline F max(F a, F b) { return {_mm512_max_ps(a.v, b.v)}; }
inline F abs(F a) { return {_mm512_abs_ps(a.v)}; }
inline F rint(F a) {
    return {_mm512_roundscale_ps(a.v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC)};
}
inline float max_lane(F a) { return _mm512_reduce_max_ps(a.v); }

inline I set_int(std::int32_t x) { return {_mm512_set1_epi32(x)}; }
inline I load_int(const std::int32_t* p) { return {_mm512_loadu_si512(p)}; }
inline void store_int(std::int32_t* p, I x) { _mm512_storeu_si512(p, x.v); }
inline I operator+(I a, I b) { return {_mm512_add_epi32(a.v, b.v)}; }
inline I operator-(I a, I b) { return {_mm512_sub_epi32(a.v, b.v)}; }
inline I min(I a, I b) { return {_mm512_min_epi32(a.v, b.v)}; }
template <int kBits>
inline I shift_left(I a) {
    return {_mm512_slli_epi32(a.v, kBits)};
}
template <int kBits>
inline I shift_right(I a) {
    return {_mm512_srli_epi32(a.v, kBits)};
}
inline I bit_and(I a, I b) { return {_mm512_and_si512(a.v, b.v)}; }
inline std::int64_t sum_lanes(I a) {
    const __m512i low = _mm512_cvtepi32_epi64(_mm512_castsi512_si256(a.v));
    const __m512i high = _mm512_cvtepi32_epi64(_mm512_extracti64x4_epi64(a.v, 1));
    return _mm512_reduce_add_epi64(_mm512_add_epi64(low, high));
}

// Round half to even, then convert.
inline I to_int(F a) { return {_mm512_cvtps_epi32(a.v)}; }
inline F to_float(I a) { return {_mm512_cvtepi32_ps(a.v)}; }
inline I bits_of(F a) { return {_mm512_castps_si512(a.v)}; }
inline F from_bits(I a) { return {_mm512_castsi512_ps(a.v)}; }
inline void store_low_bytes(void* p, I x) {
    _mm_storeu_si128(static_cast<__m128i*>(p), _mm512_cvtepi32_epi8(x.v));
}
inline I load_u8(const std::uint8_t* p) {
    return {_mm512_cvtepu8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)))};
}

inline Mask less_equal(I a, I b) { return _mm512_cmple_epi32_mask(a.v, b.v); }
inline Mask less(I a, I b) { return _mm512_cmplt_epi32_mask(a.v, b.v); }
inline Mask both(Mask a, Mask b) { return static_cast<Mask>(a & b); }
inline Mask either(Mask a, Mask b) { return static_cast<Mask>(a | b); }
inline F select(Mask m, F yes, F no) { return {_mm512_mask_blend_ps(m, no.v, yes.v)}; }

// Exact sums of squares of integers held in binary32: binary64 lanes never round below 2^53.
struct Squares {
    __m512d low, high;
    Squares() : low(_mm512_setzero_pd()), high(_mm512_setzero_pd()) {}
    void add(F x) {
        const __m512d a = _mm512_cvtps_pd(_mm512_castps512_ps256(x.v));
        const __m512d b = _mm512_cvtps_pd(_mm512_extractf32x8_ps(x.v, 1));
        low = _mm512_add_pd(low, _mm512_mul_pd(a, a));
        high = _mm512_add_pd(high, _mm512_mul_pd(b, b));
    }
    double total() const { return _mm512_reduce_add_pd(_mm512_add_pd(low, high)); }
};

// (x[i], x[i + half]) -> (x[i] + x[i + half], x[i] - x[i + half]) within the vector.
template <int half>
inline F butterfly(F x) {
    static_assert(half < kLanes);
    __m512 other;
    if constexpr (half == 1) other = _mm512_permute_ps(x.v, 0xB1);
    if constexpr (half == 2) other = _mm512_permute_ps(x.v, 0x4E);
    if constexpr (half == 4) other = _mm512_shuffle_f32x4(x.v, x.v, 0xB1);
    if constexpr (half == 8) other = _mm512_shuffle_f32x4(x.v, x.v, 0x4E);
    constexpr std::uint16_t upper = half == 1 ? 0xAAAA : half == 2 ? 0xCCCC : half == 4 ? 0xF0F0 : 0xFF00;
    const __m512 minus = _mm512_set1_ps(-0.0f);
    return {_mm512_add_ps(other, _mm512_mask_xor_ps(x.v, upper, x.v, minus))};
}

inline I load_bytes(const void* p) { return {_mm512_loadu_si512(p)}; }

// Four products a lane: weights or keys (unsigned, 128 too large) times activations (signed).
struct WeightDot {
    static constexpr bool kOffset = true;  // the sum is 128 times the activations' sum too large
    using A = __m512i;
    static A broadcast(const void* p) {
        std::int32_t four;
        std::memcpy(&four, p, 4);
        return _mm512_set1_epi32(four);
    }
    static I prepare(I b) { return b; }
    static I dot(I sum, A a, I b) { return {_mm512_dpbusd_epi32(sum.v, b.v, a)}; }
};

// Four products a lane: values (signed) times attention weights (unsigned, at most 127).
struct ValueDot {
    static constexpr bool kOffset = false;
    using A = __m512i;
    static A broadcast(const void* p) { return WeightDot::broadcast(p); }
    static I prepare(I b) { return b; }
    static I dot(I sum, A a, I b) { return {_mm512_dpbusd_epi32(sum.v, a, b.v)}; }
};
