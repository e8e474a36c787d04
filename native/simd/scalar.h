// One lane of plain C++: the reference that every other instruction set is compared with.

constexpr int kLanes = 1;
constexpr int kRows = 1;
constexpr int kVectors = 16;

struct F {
    float v;
};
struct I {
    std::int32_t v;
};
using Mask = bool;

inline F set(float x) { return {x}; }
inline F load(const float* p) { return {*p}; }
inline void store(float* p, F x) { *p = x.v; }
inline F operator+(F a, F b) { return {a.v + b.v}; }
inline F operator-(F a, F b) { return {a.v - b.v}; }
inline F operator*(F a, F b) { return {a.v * b.v}; }
inline F operator/(F a, F b) { return {a.v / b.v}; }
inline F min(F a, F b) { return {a.v < b.v ? a.v : b.v}; }
inline F max(F a, F b) { return {a.v > b.v ? a.v : b.v}; }
inline F abs(F a) { return {std::fabs(a.v)}; }
// Round half to even for |a| <= 2^22: the sum has no fraction bits left. No caller has larger numbers.
inline F rint(F a) {
    constexpr float magic = 0x1.8p23f;
    return {(a.v + magic) - magic};
}
inline float max_lane(F a) { return a.v; }

inline I set_int(std::int32_t x) { return {x}; }
inline I load_int(const std::int32_t* p) { return {*p}; }
inline void store_int(std::int32_t* p, I x) { *p = x.v; }
inline I operator+(I a, I b) { return {a.v + b.v}; }
inline I operator-(I a, I b) { return {a.v - b.v}; }
inline I min(I a, I b) { return {a.v < b.v ? a.v : b.v}; }
template <int kBits>
inline I shift_left(I a) {
    return {static_cast<std::int32_t>(static_cast<std::uint32_t>(a.v) << kBits)};
}
template <int kBits>
inline I shift_right(I a) {
    return {static_cast<std::int32_t>(static_cast<std::uint32_t>(a.v) >> kBits)};
}
inline I bit_and(I a, I b) { return {a.v & b.v}; }
inline std::int64_t sum_lanes(I a) { return a.v; }

inline I to_int(F a) { return {static_cast<std::int32_t>(rint(a).v)}; }
inline F to_float(I a) { return {static_cast<float>(a.v)}; }
inline I bits_of(F a) { return {std::bit_cast<std::int32_t>(a.v)}; }
inline F from_bits(I a) { return {std::bit_cast<float>(a.v)}; }
inline void store_low_bytes(void* p, I x) { *static_cast<std::uint8_t*>(p) = static_cast<std::uint8_t>(x.v); }
inline I load_u8(const std::uint8_t* p) { return {*p}; }

inline Mask less_equal(I a, I b) { return a.v <= b.v; }
inline Mask less(I a, I b) { return a.v < b.v; }
inline Mask both(Mask a, Mask b) { return a && b; }
inline Mask either(Mask a, Mask b) { return a || b; }
inline F select(Mask m, F yes, F no) { return m ? yes : no; }

struct Squares {
    double sum = 0;
    void add(F x) { sum += static_cast<double>(x.v) * static_cast<double>(x.v); }
    double total() const { return sum; }
};

template <int half>
inline F butterfly(F x) {
    static_assert(half < kLanes);
    return x;
}

inline I load_bytes(const void* p) {
    I four;
    std::memcpy(&four.v, p, 4);
    return four;
}

struct WeightDot {
    static constexpr bool kOffset = false;
    using A = const std::int8_t*;
    static A broadcast(const void* p) { return static_cast<const std::int8_t*>(p); }
    static I prepare(I b) { return {static_cast<std::int32_t>(static_cast<std::uint32_t>(b.v) ^ 0x80808080u)}; }
    static I dot(I sum, A a, I b) {
        const auto four = std::bit_cast<std::array<std::int8_t, 4>>(b.v);
        for (int i = 0; i < 4; ++i) sum.v += a[i] * four[static_cast<std::size_t>(i)];
        return sum;
    }
};

struct ValueDot {
    static constexpr bool kOffset = false;
    using A = const std::int8_t*;
    static A broadcast(const void* p) { return static_cast<const std::int8_t*>(p); }
    static I prepare(I b) { return b; }
    static I dot(I sum, A a, I b) { return WeightDot::dot(sum, a, b); }
};
