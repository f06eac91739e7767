"""How fast PyTorch trains a config: eager, float32 with tf32 products, AdamW, the gradient clipped, random tokens.

    python3 bench/peers/pytorch-training.py bench/qwen3-30m.json --batch 32 --context 256 --steps 20

Predicts as many tokens a step as bench/training.mjs with the same options. Needs PyTorch, transformers and a GPU.
"""

import argparse
import json
import statistics
import time

import torch
from transformers import AutoConfig, AutoModelForCausalLM

parser = argparse.ArgumentParser()
parser.add_argument("config")
parser.add_argument("--batch", type=int, default=64)
parser.add_argument("--context", type=int, default=256)
parser.add_argument("--steps", type=int, default=20)
options = parser.parse_args()

torch.backends.cuda.matmul.allow_tf32 = True
torch.backends.cudnn.allow_tf32 = True
torch.manual_seed(1)
values = json.load(open(options.config))
config = AutoConfig.for_model(values.pop("model_type"), **values)
model = AutoModelForCausalLM.from_config(config, dtype=torch.float32).cuda()
parameters = sum(p.numel() for p in model.parameters())
optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.1)
tokens = options.batch * (options.context - 1)


def step():
    ids = torch.randint(config.vocab_size, (options.batch, options.context), device="cuda")
    logits = model(input_ids=ids[:, :-1], use_cache=False).logits
    loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), ids[:, 1:].flatten())
    loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    return loss.item()


times = []
for i in range(options.steps + 5):
    torch.cuda.synchronize()
    start = time.perf_counter()
    loss = step()
    if i >= 5:
        times.append(time.perf_counter() - start)
print(f"PyTorch {torch.__version__}, {torch.cuda.get_device_name()}, {parameters / 1e6:.1f} M parameters, {tokens} tokens a step: "
      f"{tokens / statistics.median(times):.0f} tok/s, {1000 * statistics.median(times):.1f} ms a step ({1000 * min(times):.1f} to {1000 * max(times):.1f}); loss {loss:.3f}")
