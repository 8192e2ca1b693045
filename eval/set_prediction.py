"""Evaluates a run of set prediction and draws what each slot saw and predicted.

    python eval/set_prediction.py --model_dir=runs/set_prediction --full_eval

Prints average precision on the validation split: of the run as it was trained, with
other numbers of iterations, and on the scenes with exactly N objects with N slots
(Figure 5 of the paper). Writes pictures into `<model_dir>/pictures`: the input, the
attention of each slot, and predicted and true properties; and the training curves.
"""

from slot_attention_tf.commands import evaluate

if __name__ == "__main__":
    evaluate.set_prediction()
