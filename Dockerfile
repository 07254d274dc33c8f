# CPU:  docker build -t isegbench .
# CUDA: docker build -t isegbench:cuda --build-arg TORCH_INDEX=https://download.pytorch.org/whl/cu126 .
#       docker run --rm --gpus all -v "$PWD/results:/results" isegbench:cuda \
#           run --method geodesic --dataset samples --out /results/runs/docker
# PyTorch's wheels hold the CUDA libraries; the host needs NVIDIA's driver and container toolkit.

# The version of Python in constraints.txt.
ARG PYTHON_VERSION=3.11
FROM python:${PYTHON_VERSION}-slim

ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu

WORKDIR /opt/isegbench
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY harness harness
COPY methods methods
COPY datasets datasets
COPY results/published results/published
COPY src src
RUN pip install --no-cache-dir --extra-index-url "$TORCH_INDEX" -c constraints.txt '.[graphcut]'

WORKDIR /results
ENTRYPOINT ["isegbench"]
CMD ["--help"]
