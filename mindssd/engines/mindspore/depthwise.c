/* Depthwise convolutions for a CPU, forward and backward, float32 in NCHW.

With stride S a padded plane is kept as its S × S phases, each of every S-th row and column. In them
every tap of the kernel is the whole output at another offset, whatever the stride: an output plane
is a weighted sum of K × K slices, and a gradient the same the other way round.

The two functions at the end are what MindSpore's `Custom` of type "aot" calls. */

#define _GNU_SOURCE
#include <pthread.h>
#include <sched.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define MAX_KERNEL 7   /* depthwise.py leaves larger kernels to MindSpore */
#define MAX_THREADS 64

typedef struct {
  int kernel, stride, taps, top, left;
  int height, width, out_height, out_width;
  int rows, columns, phase_size, num_phases; /* of a phase: room for the output at every tap */
  int reach;                                 /* from the first tap's offset in a phase to the last's */
  int out_span;                              /* the output in rows of `columns`, first to last */
  int offset[MAX_KERNEL * MAX_KERNEL];       /* of each tap, among all phases */
} Layout;

static int max(int a, int b) { return a > b ? a : b; }
static int divide_up(int a, int b) { return (a + b - 1) / b; }

static int in_lines(int floats) { return divide_up(floats, 16) * 16; } /* cache lines of 64 bytes */

/* Zeros at the start of a cache line: where a compiler's loop begins with single steps up to one, its
   sums would round otherwise from run to run, and a resume would not be exact. */
static float *zeros(int floats) {
  size_t size = sizeof(float) * in_lines(floats);
  float *memory = aligned_alloc(64, size);
  if (memory) memset(memory, 0, size);
  return memory;
}

/* TensorFlow's "same" padding, which puts the odd row or column at the end. */
static int same_padding(int size, int kernel, int stride) {
  return max(0, (divide_up(size, stride) - 1) * stride + kernel - size) / 2;
}

/* geometry: kernel, stride, rows of padding at the top and columns at the left; -1 is "same". */
static Layout layout_of(const int32_t *geometry, const int64_t *input, const int64_t *output) {
  Layout l = {.kernel = geometry[0], .stride = geometry[1], .top = geometry[2], .left = geometry[3],
              .height = input[2], .width = input[3], .out_height = output[2], .out_width = output[3]};
  if (l.top < 0) {
    l.top = same_padding(l.height, l.kernel, l.stride);
    l.left = same_padding(l.width, l.kernel, l.stride);
  }
  int steps = (l.kernel - 1) / l.stride;
  l.rows = max(divide_up(l.height + l.top, l.stride), l.out_height + steps);
  l.columns = max(divide_up(l.width + l.left, l.stride), l.out_width + steps);
  l.phase_size = l.rows * l.columns;
  l.num_phases = l.stride * l.stride;
  l.reach = steps * (l.columns + 1);
  l.out_span = (l.out_height - 1) * l.columns + l.out_width;
  l.taps = l.kernel * l.kernel;
  for (int tap = 0; tap < l.taps; tap++) {
    int y = tap / l.kernel, x = tap % l.kernel;
    int phase = y % l.stride * l.stride + x % l.stride;
    l.offset[tap] = phase * l.phase_size + y / l.stride * l.columns + x / l.stride;
  }
  return l;
}

/* Where a row's pixels of one column phase lie: every stride-th from `first`, at `start`. */
typedef struct { int first, count, start; } Stretch;

static Stretch stretch_of(const Layout *l, int y, int column_phase) {
  int first = ((column_phase - l->left) % l->stride + l->stride) % l->stride;
  int row = (y + l->top) / l->stride, row_phase = (y + l->top) % l->stride;
  int start = (row_phase * l->stride + column_phase) * l->phase_size + row * l->columns;
  return (Stretch){first, divide_up(l->width - first, l->stride), start + (first + l->left) / l->stride};
}

/* Lay a plane out as its phases, zero where it does not reach. */
static void split(const float *plane, const Layout *l, float *phases) {
  memset(phases, 0, sizeof(float) * l->num_phases * l->phase_size);
  for (int y = 0; y < l->height; y++)
    for (int column_phase = 0; column_phase < l->stride; column_phase++) {
      Stretch s = stretch_of(l, y, column_phase);
      const float *from = plane + y * l->width + s.first;
      float *to = phases + s.start;
      if (l->stride == 2) /* a constant, which the compiler makes shuffles of */
        for (int j = 0; j < s.count; j++) to[j] = from[2 * j];
      else
        for (int j = 0; j < s.count; j++) to[j] = from[j * l->stride];
    }
}

/* The reverse of `split`. */
static void join(const float *phases, const Layout *l, float *plane) {
  for (int y = 0; y < l->height; y++)
    for (int column_phase = 0; column_phase < l->stride; column_phase++) {
      Stretch s = stretch_of(l, y, column_phase);
      const float *from = phases + s.start;
      float *to = plane + y * l->width + s.first;
      if (l->stride == 2)
        for (int j = 0; j < s.count; j++) to[2 * j] = from[j];
      else
        for (int j = 0; j < s.count; j++) to[j * l->stride] = from[j];
    }
}

/* result[j] = sum over k of weight[k] · source[offset[k] + j], nine at a time: a 3×3 kernel's whole. */
static void combine(const float *restrict source, const int *offset, const float *weight, int count,
                    float *restrict result, int n) {
  int k = 0;
  memset(result, 0, sizeof(float) * n);
  for (; k + 9 <= count; k += 9) {
    const float *w = weight + k;
    const float *s0 = source + offset[k], *s1 = source + offset[k + 1], *s2 = source + offset[k + 2];
    const float *s3 = source + offset[k + 3], *s4 = source + offset[k + 4], *s5 = source + offset[k + 5];
    const float *s6 = source + offset[k + 6], *s7 = source + offset[k + 7], *s8 = source + offset[k + 8];
    for (int j = 0; j < n; j++)
      result[j] += (w[0] * s0[j] + w[1] * s1[j] + w[2] * s2[j]) +
                   (w[3] * s3[j] + w[4] * s4[j] + w[5] * s5[j]) +
                   (w[6] * s6[j] + w[7] * s7[j] + w[8] * s8[j]);
  }
  for (; k < count; k++) {
    const float *slice = source + offset[k];
    for (int j = 0; j < n; j++) result[j] += weight[k] * slice[j];
  }
}

/* sums[k] += sum over j of other[j] · source[offset[k] + j], nine at a time. */
static void correlate(const float *restrict source, const int *offset, int count,
                      const float *restrict other, int n, float *restrict sums) {
  int k = 0;
  for (; k + 9 <= count; k += 9) {
    const float *s0 = source + offset[k], *s1 = source + offset[k + 1], *s2 = source + offset[k + 2];
    const float *s3 = source + offset[k + 3], *s4 = source + offset[k + 4], *s5 = source + offset[k + 5];
    const float *s6 = source + offset[k + 6], *s7 = source + offset[k + 7], *s8 = source + offset[k + 8];
    float a0 = 0, a1 = 0, a2 = 0, a3 = 0, a4 = 0, a5 = 0, a6 = 0, a7 = 0, a8 = 0;
    for (int j = 0; j < n; j++) {
      float value = other[j];
      a0 += value * s0[j], a1 += value * s1[j], a2 += value * s2[j];
      a3 += value * s3[j], a4 += value * s4[j], a5 += value * s5[j];
      a6 += value * s6[j], a7 += value * s7[j], a8 += value * s8[j];
    }
    sums[k] += a0, sums[k + 1] += a1, sums[k + 2] += a2;
    sums[k + 3] += a3, sums[k + 4] += a4, sums[k + 5] += a5;
    sums[k + 6] += a6, sums[k + 7] += a7, sums[k + 8] += a8;
  }
  for (; k < count; k++) {
    const float *slice = source + offset[k];
    for (int j = 0; j < n; j++) sums[k] += other[j] * slice[j];
  }
}

/* What a thread works on: planes or channels `begin` to `end`. */
typedef struct {
  Layout layout;
  int batch, channels, begin, end, failed;
  const float *images, *weight, *gradient;
  float *output, *image_gradient, *weight_gradient;
} Work;

static void *forward_planes(void *argument) {
  Work *work = argument;
  const Layout *l = &work->layout;
  int size = in_lines(l->num_phases * l->phase_size);
  float *phases = zeros(size + l->out_span), *sums = phases + size;
  work->failed = phases == NULL;
  if (work->failed) return NULL;
  for (int64_t plane = work->begin; plane < work->end; plane++) {
    split(work->images + plane * l->height * l->width, l, phases);
    combine(phases, l->offset, work->weight + plane % work->channels * l->taps, l->taps, sums,
            l->out_span);
    float *output = work->output + plane * l->out_height * l->out_width;
    for (int y = 0; y < l->out_height; y++)
      memcpy(output + y * l->out_width, sums + y * l->columns, sizeof(float) * l->out_width);
  }
  free(phases);
  return NULL;
}

static void *backward_channels(void *argument) {
  Work *work = argument;
  const Layout *l = &work->layout;
  /* The output's gradient stands among zeros, as far as the first and the last tap reach. */
  int size = in_lines(l->num_phases * l->phase_size), offset[MAX_KERNEL * MAX_KERNEL];
  float weight[MAX_KERNEL * MAX_KERNEL];
  float *phases = zeros(size + l->reach + l->phase_size + l->reach);
  float *spread = phases + size, *inner = spread + l->reach;
  work->failed = phases == NULL;
  if (work->failed) return NULL;
  for (int channel = work->begin; channel < work->end; channel++) {
    float *sums = work->weight_gradient + channel * l->taps;
    memset(sums, 0, sizeof(float) * l->taps);
    for (int image = 0; image < work->batch; image++) {
      int64_t plane = (int64_t)image * work->channels + channel;
      const float *gradient = work->gradient + plane * l->out_height * l->out_width;
      for (int y = 0; y < l->out_height; y++)
        memcpy(inner + y * l->columns, gradient + y * l->out_width, sizeof(float) * l->out_width);
      split(work->images + plane * l->height * l->width, l, phases);
      correlate(phases, l->offset, l->taps, inner, l->out_span, sums);
      for (int phase = 0; phase < l->num_phases; phase++) {
        int count = 0;
        for (int tap = 0; tap < l->taps; tap++)
          if (l->offset[tap] / l->phase_size == phase) {
            offset[count] = l->reach - l->offset[tap] % l->phase_size;
            weight[count++] = work->weight[channel * l->taps + tap];
          }
        combine(spread, offset, weight, count, phases + phase * l->phase_size, l->phase_size);
      }
      join(phases, l, work->image_gradient + plane * l->height * l->width);
    }
  }
  free(phases);
  return NULL;
}

/* Run `part` over `total` planes or channels, on as many threads as there are cores for this
   process. They end with it: a team that waits, as OpenMP's does, takes MindSpore's own threads the
   cores while they compute. */
static int shared_out(void *(*part)(void *), const Work *whole, int total) {
  cpu_set_t cores;
  int count = sched_getaffinity(0, sizeof cores, &cores) ? 1 : CPU_COUNT(&cores);
  if (count > MAX_THREADS) count = MAX_THREADS;
  if (count > total) count = max(total, 1);
  Work work[MAX_THREADS];
  pthread_t thread[MAX_THREADS];
  int started[MAX_THREADS] = {0}, failed = 0;
  for (int i = 0; i < count; i++) {
    work[i] = *whole;
    work[i].begin = (int64_t)total * i / count;
    work[i].end = (int64_t)total * (i + 1) / count;
    if (i > 0) started[i] = pthread_create(&thread[i], NULL, part, &work[i]) == 0;
  }
  for (int i = 0; i < count; i++) {
    if (started[i]) pthread_join(thread[i], NULL);
    else part(&work[i]);
    failed |= work[i].failed;
  }
  return failed;
}

/* images (N, C, H, W), weight (C, 1, K, K), geometry (4,) to output (N, C, rows, columns). */
int DepthwiseForward(int num_arrays, void **arrays, int *ranks, int64_t **shapes,
                     const char **types, void *stream, void *extra) {
  (void)num_arrays, (void)ranks, (void)types, (void)stream, (void)extra;
  Work work = {.layout = layout_of(arrays[2], shapes[0], shapes[3]),
               .batch = shapes[0][0], .channels = shapes[0][1],
               .images = arrays[0], .weight = arrays[1], .output = arrays[3]};
  return shared_out(forward_planes, &work, work.batch * work.channels);
}

/* images, weight, the output's gradient and geometry to the gradients of images and weight. */
int DepthwiseBackward(int num_arrays, void **arrays, int *ranks, int64_t **shapes,
                      const char **types, void *stream, void *extra) {
  (void)num_arrays, (void)ranks, (void)types, (void)stream, (void)extra;
  Work work = {.layout = layout_of(arrays[3], shapes[0], shapes[2]),
               .batch = shapes[0][0], .channels = shapes[0][1],
               .images = arrays[0], .weight = arrays[1], .gradient = arrays[2],
               .image_gradient = arrays[4], .weight_gradient = arrays[5]};
  return shared_out(backward_channels, &work, work.channels);
}
