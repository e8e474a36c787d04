// Vectors of AVX2: 8 lanes of binary32 or int32. Included inside an instruction set's namespace.
// LMZIP_AVXVNNI says whether vpdpbusd is there.

constexpr int kLanes = 8;
constexpr int kVectors = 2;
#if LMZIP_AVXVNNI
constexpr int kRows = 6;
#else
constexpr int kRows = 4;
#endif

struct F {
    __m256 v;
};
struct I {
    __m256i v;
};
using Mask = __m256i;

inline F set(float x) { return {_mm256_set1_ps(x)}; }
inline F load(const float* p) { return {_mm256_loadu_ps(p)}; }
inline void store(float* p, F x) { _mm256_storeu_ps(p, x.v); }
inline F operator+(F a, F b) { return {_mm256_add_ps(a.v, b.v)}; }
inline F operator-(F a, F b) { return {_mm256_sub_ps(a.v, b.v)}; }
inline F operator*(F a, F b) { return {_mm256_mul_ps(a.v, b.v)}; }
inline F operator/(F a, F b) { return {_mm256_div_ps(a.v, b.v)}; }
inline F min(F a, F b) { return {_mm256_min_ps(a.v, b.v)}; }
inline F max(F a, F b) { return {_mm256_max_ps(a.v, b.v)}; }
inline F abs(F a) { return {_mm256_andnot_ps(_mm256_set1_ps(-0.0f), a.v)}; }
inline F rint(F a) {
    return {_mm256_round_ps(a.v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC)};
}
inline float max_lane(F a) {
    __m128 x = _mm_max_ps(_mm256_castps256_ps128(a.v), _mm256_extractf128_ps(a.v, 1));
    x = _mm_max_ps(x, _mm_movehl_ps(x, x));
    return _mm_cvtss_f32(_mm_max_ss(x, _mm_shuffle_ps(x, x, 1)));
}

inline I set_int(std::int32_t x) { return {_mm256_set1_epi32(x)}; }
inline I load_int(const std::int32_t* p) {
    return {_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p))};
}
inline void store_int(std::int32_t* p, I x) {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), x.v);
}
inline I operator+(I a, I b) { return {_mm256_add_epi32(a.v, b.v)}; }
inline I operator-(I a, I b) { return {_mm256_sub_epi32(a.v, b.v)}; }
inline I min(I a, I b) { return {_mm256_min_epi32(a.v, b.v)}; }
template <int kBits>
inline I shift_left(I a) {
    return {_mm256_slli_epi32(a.v, kBits)};
}
template <int kBits>
inline I shift_right(I a) {
    return {_mm256_srli_epi32(a.v, kBits)};
}
inline I bit_and(I a, I b) { return {_mm256_and_si256(a.v, b.v)}; }
inline std::int64_t sum_lanes(I a) {
    alignas(32) std::int32_t lanes[8];
    store_int(lanes, a);
    std::int64_t total = 0;
    for (const std::int32_t x : lanes) total += x;
    return total;
}

inline I to_int(F a) { return {_mm256_cvtps_epi32(a.v)}; }
inline F to_float(I a) { return {_mm256_cvtepi32_ps(a.v)}; }
inline I bits_of(F a) { return {_mm256_castps_si256(a.v)}; }
inline F from_bits(I a) { return {_mm256_castsi256_ps(a.v)}; }
inline void store_low_bytes(void* p, I x) {
    const __m256i order = _mm256_set1_epi32(0x0C080400);
    const __m256i low = _mm256_shuffle_epi8(x.v, order);  // each half: its four bytes, four times
    const std::int32_t first = _mm256_extract_epi32(low, 0), second = _mm256_extract_epi32(low, 4);
    std::memcpy(p, &first, 4);
    std::memcpy(static_cast<char*>(p) + 4, &second, 4);
}
inline I load_u8(const std::uint8_t* p) {
    return {_mm256_cvtepu8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p)))};
}

inline Mask less(I a, I b) { return _mm256_cmpgt_epi32(b.v, a.v); }
inline Mask less_equal(I a, I b) {
    return _mm256_xor_si256(_mm256_cmpgt_epi32(a.v, b.v), _mm256_set1_epi32(-1));
}
inline Mask both(Mask a, Mask b) { return _mm256_and_si256(a, b); }
inline Mask either(Mask a, Mask b) { return _mm256_or_si256(a, b); }
inline F select(Mask m, F yes, F no) {
    return {_mm256_blendv_ps(no.v, yes.v, _mm256_castsi256_ps(m))};
}

struct Squares {
    __m256d low, high;
    Squares() : low(_mm256_setzero_pd()), high(_mm256_setzero_pd()) {}
    void add(F x) {
        const __m256d a = _mm256_cvtps_pd(_mm256_castps256_ps128(x.v));
        const __m256d b = _mm256_cvtps_pd(_mm256_extractf128_ps(x.v, 1));
        low = _mm256_add_pd(low, _mm256_mul_pd(a, a));
        high = _mm256_add_pd(high, _mm256_mul_pd(b, b));
    }
    double total() const {
        alignas(32) double lanes[4];
        _mm256_store_pd(lanes, _mm256_add_pd(low, high));
        return (lanes[0] + lanes[1]) + (lanes[2] + lanes[3]);
    }
};

template <int half>
inline F butterfly(F x) {
    static_assert(half < kLanes);
    __m256 other;
    if constexpr (half == 1) other = _mm256_permute_ps(x.v, 0xB1);
    if constexpr (half == 2) other = _mm256_permute_ps(x.v, 0x4E);
    if constexpr (half == 4) other = _mm256_permute2f128_ps(x.v, x.v, 1);
    constexpr float n = -0.0f;
    __m256 minus;
    if constexpr (half == 1) minus = _mm256_setr_ps(0, n, 0, n, 0, n, 0, n);
    if constexpr (half == 2) minus = _mm256_setr_ps(0, 0, n, n, 0, 0, n, n);
    if constexpr (half == 4) minus = _mm256_setr_ps(0, 0, 0, 0, n, n, n, n);
    return {_mm256_add_ps(other, _mm256_xor_ps(x.v, minus))};
}

inline I load_bytes(const void* p) { return load_int(static_cast<const std::int32_t*>(p)); }

inline __m256i broadcast_four(const void* p) {
    std::int32_t four;
    std::memcpy(&four, p, 4);
    return _mm256_set1_epi32(four);
}

#if LMZIP_AVXVNNI

struct WeightDot {
    static constexpr bool kOffset = true;
    using A = __m256i;
    static A broadcast(const void* p) { return broadcast_four(p); }
    static I prepare(I b) { return b; }
    static I dot(I sum, A a, I b) { return {_mm256_dpbusd_avx_epi32(sum.v, b.v, a)}; }
};

struct ValueDot {
    static constexpr bool kOffset = false;
    using A = __m256i;
    static A broadcast(const void* p) { return broadcast_four(p); }
    static I prepare(I b) { return b; }
    static I dot(I sum, A a, I b) { return {_mm256_dpbusd_avx_epi32(sum.v, a, b.v)}; }
};

#else

// vpmaddubsw adds pairs of products in 16 bits. Both factors are at most 127 in magnitude (operands
// are never -128: NUMERICS.md, section 2), so a pair is at most 32,258 and cannot saturate.
inline I add_pairs(I sum, __m256i unsigned_bytes, __m256i signed_bytes) {
    const __m256i pairs = _mm256_maddubs_epi16(unsigned_bytes, signed_bytes);
    return {_mm256_add_epi32(sum.v, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)))};
}

struct WeightDot {
    static constexpr bool kOffset = false;
    struct A {
        __m256i value, magnitude;
    };
    static A broadcast(const void* p) {
        const __m256i a = broadcast_four(p);
        return {a, _mm256_abs_epi8(a)};
    }
    static I prepare(I b) { return {_mm256_xor_si256(b.v, _mm256_set1_epi8(-128))}; }
    static I dot(I sum, A a, I b) {
        return add_pairs(sum, a.magnitude, _mm256_sign_epi8(b.v, a.value));
    }
};

struct ValueDot {
    static constexpr bool kOffset = false;
    using A = __m256i;
    static A broadcast(const void* p) { return broadcast_four(p); }
    static I prepare(I b) { return b; }
    static I dot(I sum, A a, I b) { return add_pairs(sum, a, b.v); }
};

#endif
