// AVX-512 with vpdpbusd (Ice Lake, Zen 4 and later).

#include "includes.h"
#include "isa.h"

#if LMZIP_X86
LMZIP_TARGET("avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")

namespace lmzip::avx512vnni {
#include "../simd/avx512.h"
#include "kernels.inl"
}  // namespace lmzip::avx512vnni

namespace lmzip {
const Kernels kAvx512Vnni = avx512vnni::table("avx512vnni");
}
LMZIP_TARGET_END
#endif
