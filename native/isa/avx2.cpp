// AVX2 without any dot-product instruction (Haswell, Zen 1 and later).

#include "includes.h"
#include "isa.h"

#if LMZIP_X86
LMZIP_TARGET("avx2")

#define LMZIP_AVXVNNI 0
namespace lmzip::avx2 {
#include "../simd/avx2.h"
#include "kernels.inl"
}  // namespace lmzip::avx2

namespace lmzip {
const Kernels kAvx2 = avx2::table("avx2");
}
LMZIP_TARGET_END
#endif
