"""`python -m slot_attention_tf.paper`: see `campaign`."""

from slot_attention_tf.paper.campaign import main

if __name__ == "__main__":
    main()
