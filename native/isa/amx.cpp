// AVX-512 and the matrix unit AMX (Sapphire Rapids and later).

#include "includes.h"
#include "isa.h"

#if LMZIP_AMX_TARGET
LMZIP_TARGET("avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,amx-tile,amx-int8")

#define LMZIP_AMX 1
namespace lmzip::amx {
#include "../simd/avx512.h"
#include "kernels.inl"
}  // namespace lmzip::amx

namespace lmzip {
const Kernels kAmx = amx::table("amx");
}
LMZIP_TARGET_END
#endif
