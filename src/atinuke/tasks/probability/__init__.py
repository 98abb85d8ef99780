"""Tasks that a pretrained network is asked as it is: how likely is this text?"""
