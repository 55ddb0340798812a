"""vLLM 0.5.4 on a machine on which its CUDA extensions cannot load: PyTorch in the place of its kernels, no more."""
