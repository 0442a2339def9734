"""The MindSpore engine: every `import mindspore` and `import mindcv` of the project is in here.

The process settings below must stand before MindSpore is imported, and any import of this package's
modules runs this file first.
"""

import os

# MindSpore 2.10.0's oneDNN takes a reference kernel for 3×3 convolutions on AVX-512 CPUs: a
# training step takes 7 times longer. On other CPUs the setting changes nothing.
os.environ.setdefault("ONEDNN_MAX_CPU_ISA", "AVX2")
# Errors alone: its warnings are about its own internals.
os.environ.setdefault("GLOG_v", "3")
# Its communication between processes says what it does in any case, but for this.
os.environ.setdefault("MS_SUBMODULE_LOG_v", "{DISTRIBUTED:3}")
